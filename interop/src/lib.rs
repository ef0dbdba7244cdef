//! The programs against real mail software: peers from Debian, started on free ports.
