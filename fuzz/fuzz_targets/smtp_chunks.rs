#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postrider_testkit::fuzz::smtp_chunks(data));
