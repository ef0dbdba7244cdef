//! What the log says happened: every number assigned, nothing left to decide, so that applying it to the same index
//! always gives the same index.

use crate::{AccountId, BodyId, Flags, Lease, LeaseOwner, MailboxId, QueueId, UnixMillis};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Effect {
    AccountCreated {
        account: AccountId,
        name: String,
        password: Option<String>,
        quota: Option<u64>,
        uidvalidity: u32,
    },
    PasswordSet {
        account: AccountId,
        password: Option<String>,
    },
    QuotaSet {
        account: AccountId,
        quota: Option<u64>,
    },
    AccountRemoved {
        account: AccountId,
    },
    MailboxCreated {
        at: Place,
        name: String,
        uidvalidity: u32,
        special_use: Option<String>,
    },
    MailboxDeleted {
        at: Place,
        sums: Sums,
    },
    MailboxRenamed {
        at: Place,
        name: String,
    },
    Subscribed {
        at: Place,
        name: String,
        on: bool,
    },
    MessageAdded {
        at: Place,
        uid: u32,
        body: BodyId,
        size: u64,
        flags: Flags,
        internal: UnixMillis,
        saved: UnixMillis,
    },
    FlagsSet {
        at: Place,
        runs: Vec<(u32, u32, Flags)>,
        unseen: i64,
        deleted: i64,
    },
    Expunged {
        at: Place,
        runs: Vec<(u32, u32)>,
        sums: Sums,
    },
    Copied {
        at: Place,
        from: MailboxId,
        runs: Vec<(u32, u32)>,
        first: u32,
        saved: UnixMillis,
        sums: Sums,
    },
    BodyAdded {
        body: BodyId,
        place: BodyPlace,
        size: u64,
        hash: [u8; 32],
    },
    CacheSet {
        body: BodyId,
        cache: Vec<u8>,
    },
    QueuePut {
        id: QueueId,
        due: UnixMillis,
        body: BodyId,
        size: u64,
        envelope: Vec<u8>,
        state: Vec<u8>,
        lease: Option<Lease>,
    },
    QueueLeased {
        id: QueueId,
        lease: Lease,
    },
    QueueDeferred {
        id: QueueId,
        due: UnixMillis,
        state: Option<Vec<u8>>,
    },
    QueueRemoved {
        id: QueueId,
    },
    QueueHeld {
        id: QueueId,
        held: bool,
    },
    LeasesReleased {
        owner: LeaseOwner,
    },
    /// A body was copied elsewhere in the log.
    BodyMoved {
        body: BodyId,
        place: BodyPlace,
    },
    /// Nothing refers to the bodies of these numbers any more.
    BodiesRemoved {
        runs: Vec<(u64, u64)>,
    },
    ChangesTrimmed {
        account: AccountId,
        upto: u64,
    },
    /// First of a full copy of the index: forget all before.
    Restart,
    /// One row of a full copy of the index.
    Row {
        table: u8,
        values: Vec<Value>,
    },
}

/// Where, and at which mod-sequence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) account: AccountId,
    pub(super) mailbox: MailboxId,
    pub(super) modseq: u64,
}

/// Totals over some messages.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sums {
    pub(super) messages: u64,
    pub(super) unseen: u64,
    pub(super) deleted: u64,
    pub(super) size: u64,
}

/// Where a body's octets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyPlace {
    /// In a log segment, its first octet at `at`.
    Segment { segment: u64, at: u64 },
    /// In a file of its own.
    File(u64),
}

/// A column of a row, as SQLite knows them.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Integer(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// The bytes of an effect are not ones this version writes.
#[derive(Debug)]
pub(super) struct BadEffect;

type Decoded<T> = Result<T, BadEffect>;

impl Effect {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut w = Writer(out);
        match self {
            Effect::AccountCreated { account, name, password, quota, uidvalidity } => w
                .tag(1)
                .u64(account.0)
                .text(name)
                .opt_text(password.as_deref())
                .opt_u64(*quota)
                .u64((*uidvalidity).into()),
            Effect::PasswordSet { account, password } => w.tag(2).u64(account.0).opt_text(password.as_deref()),
            Effect::QuotaSet { account, quota } => w.tag(3).u64(account.0).opt_u64(*quota),
            Effect::AccountRemoved { account } => w.tag(4).u64(account.0),
            Effect::MailboxCreated { at, name, uidvalidity, special_use } => {
                w.tag(5).place(at).text(name).u64((*uidvalidity).into()).opt_text(special_use.as_deref())
            }
            Effect::MailboxDeleted { at, sums } => w.tag(6).place(at).sums(sums),
            Effect::MailboxRenamed { at, name } => w.tag(7).place(at).text(name),
            Effect::Subscribed { at, name, on } => w.tag(8).place(at).text(name).u64((*on).into()),
            Effect::MessageAdded { at, uid, body, size, flags, internal, saved } => {
                w.tag(9).place(at).u64((*uid).into()).u64(body.0).u64(*size).flags(flags).i64(internal.0).i64(saved.0)
            }
            Effect::FlagsSet { at, runs, unseen, deleted } => {
                w.tag(10).place(at).i64(*unseen).i64(*deleted).u64(runs.len() as u64);
                for (first, last, flags) in runs {
                    w.u64((*first).into()).u64((last - first).into()).flags(flags);
                }
                &mut w
            }
            Effect::Expunged { at, runs, sums } => w.tag(11).place(at).sums(sums).runs(runs),
            Effect::Copied { at, from, runs, first, saved, sums } => {
                w.tag(12).place(at).u64(from.0.into()).u64((*first).into()).i64(saved.0).sums(sums).runs(runs)
            }
            Effect::BodyAdded { body, place, size, hash } => {
                w.tag(13).u64(body.0).body_place(*place).u64(*size);
                w.0.extend_from_slice(hash);
                &mut w
            }
            Effect::CacheSet { body, cache } => w.tag(14).u64(body.0).bytes(cache),
            Effect::QueuePut { id, due, body, size, envelope, state, lease } => {
                w.tag(15).u64(id.0).i64(due.0).u64(body.0).u64(*size).bytes(envelope).bytes(state);
                match lease {
                    None => w.u64(0),
                    Some(lease) => w.u64(1).lease(lease),
                }
            }
            Effect::QueueLeased { id, lease } => w.tag(16).u64(id.0).lease(lease),
            Effect::QueueDeferred { id, due, state } => {
                w.tag(17).u64(id.0).i64(due.0);
                match state {
                    None => w.u64(0),
                    Some(state) => w.u64(1).bytes(state),
                }
            }
            Effect::QueueRemoved { id } => w.tag(18).u64(id.0),
            Effect::QueueHeld { id, held } => w.tag(19).u64(id.0).u64((*held).into()),
            Effect::LeasesReleased { owner } => w.tag(20).u64(owner.0),
            Effect::BodyMoved { body, place } => w.tag(21).u64(body.0).body_place(*place),
            Effect::BodiesRemoved { runs } => {
                w.tag(22).u64(runs.len() as u64);
                for (first, last) in runs {
                    w.u64(*first).u64(last - first);
                }
                &mut w
            }
            Effect::ChangesTrimmed { account, upto } => w.tag(25).u64(account.0).u64(*upto),
            Effect::Restart => w.tag(23),
            Effect::Row { table, values } => {
                w.tag(24).u64((*table).into()).u64(values.len() as u64);
                for value in values {
                    match value {
                        Value::Null => w.u64(0),
                        Value::Integer(n) => w.u64(1).i64(*n),
                        Value::Text(s) => w.u64(2).text(s),
                        Value::Blob(b) => w.u64(3).bytes(b),
                    };
                }
                &mut w
            }
        };
    }

    /// Takes one effect off the front of `bytes`; `None` at the end.
    pub(super) fn decode(bytes: &mut &[u8]) -> Decoded<Option<Effect>> {
        let Some((&tag, rest)) = bytes.split_first() else { return Ok(None) };
        let mut r = Reader(rest);
        let effect = match tag {
            1 => Effect::AccountCreated {
                account: AccountId(r.u64()?),
                name: r.text()?,
                password: r.opt_text()?,
                quota: r.opt_u64()?,
                uidvalidity: r.u32()?,
            },
            2 => Effect::PasswordSet { account: AccountId(r.u64()?), password: r.opt_text()? },
            3 => Effect::QuotaSet { account: AccountId(r.u64()?), quota: r.opt_u64()? },
            4 => Effect::AccountRemoved { account: AccountId(r.u64()?) },
            5 => Effect::MailboxCreated {
                at: r.place()?,
                name: r.text()?,
                uidvalidity: r.u32()?,
                special_use: r.opt_text()?,
            },
            6 => Effect::MailboxDeleted { at: r.place()?, sums: r.sums()? },
            7 => Effect::MailboxRenamed { at: r.place()?, name: r.text()? },
            8 => Effect::Subscribed { at: r.place()?, name: r.text()?, on: r.bool()? },
            9 => Effect::MessageAdded {
                at: r.place()?,
                uid: r.u32()?,
                body: BodyId(r.u64()?),
                size: r.u64()?,
                flags: r.flags()?,
                internal: UnixMillis(r.i64()?),
                saved: UnixMillis(r.i64()?),
            },
            10 => {
                let (at, unseen, deleted) = (r.place()?, r.i64()?, r.i64()?);
                let mut runs = Vec::new();
                for _ in 0..r.u64()? {
                    let first = r.u32()?;
                    runs.push((first, first.checked_add(r.u32()?).ok_or(BadEffect)?, r.flags()?));
                }
                Effect::FlagsSet { at, runs, unseen, deleted }
            }
            11 => Effect::Expunged { at: r.place()?, sums: r.sums()?, runs: r.runs()? },
            12 => {
                let (at, from, first) = (r.place()?, MailboxId(r.u32()?), r.u32()?);
                let (saved, sums, runs) = (UnixMillis(r.i64()?), r.sums()?, r.runs()?);
                Effect::Copied { at, from, runs, first, saved, sums }
            }
            13 => Effect::BodyAdded {
                body: BodyId(r.u64()?),
                place: r.body_place()?,
                size: r.u64()?,
                hash: r.take(32)?.try_into().map_err(|_| BadEffect)?,
            },
            14 => Effect::CacheSet { body: BodyId(r.u64()?), cache: r.bytes()? },
            15 => Effect::QueuePut {
                id: QueueId(r.u64()?),
                due: UnixMillis(r.i64()?),
                body: BodyId(r.u64()?),
                size: r.u64()?,
                envelope: r.bytes()?,
                state: r.bytes()?,
                lease: if r.bool()? { Some(r.lease()?) } else { None },
            },
            16 => Effect::QueueLeased { id: QueueId(r.u64()?), lease: r.lease()? },
            17 => Effect::QueueDeferred {
                id: QueueId(r.u64()?),
                due: UnixMillis(r.i64()?),
                state: if r.bool()? { Some(r.bytes()?) } else { None },
            },
            18 => Effect::QueueRemoved { id: QueueId(r.u64()?) },
            19 => Effect::QueueHeld { id: QueueId(r.u64()?), held: r.bool()? },
            20 => Effect::LeasesReleased { owner: LeaseOwner(r.u64()?) },
            21 => Effect::BodyMoved { body: BodyId(r.u64()?), place: r.body_place()? },
            22 => {
                let mut runs = Vec::new();
                for _ in 0..r.u64()? {
                    let first = r.u64()?;
                    runs.push((first, first.checked_add(r.u64()?).ok_or(BadEffect)?));
                }
                Effect::BodiesRemoved { runs }
            }
            23 => Effect::Restart,
            24 => {
                let table = u8::try_from(r.u64()?).map_err(|_| BadEffect)?;
                let mut values = Vec::new();
                for _ in 0..r.u64()? {
                    values.push(match r.u64()? {
                        0 => Value::Null,
                        1 => Value::Integer(r.i64()?),
                        2 => Value::Text(r.text()?),
                        3 => Value::Blob(r.bytes()?),
                        _ => return Err(BadEffect),
                    });
                }
                Effect::Row { table, values }
            }
            25 => Effect::ChangesTrimmed { account: AccountId(r.u64()?), upto: r.u64()? },
            _ => return Err(BadEffect),
        };
        *bytes = r.0;
        Ok(Some(effect))
    }
}

/// Integers as LEB128, signed ones zigzagged; strings with their length before them.
struct Writer<'a>(&'a mut Vec<u8>);

impl Writer<'_> {
    fn tag(&mut self, tag: u8) -> &mut Self {
        self.0.push(tag);
        self
    }

    fn u64(&mut self, mut n: u64) -> &mut Self {
        while n >= 0x80 {
            self.0.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
        self
    }

    fn i64(&mut self, n: i64) -> &mut Self {
        self.u64(((n << 1) ^ (n >> 63)) as u64)
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.u64(bytes.len() as u64).0.extend_from_slice(bytes);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    fn opt_text(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            None => self.u64(0),
            Some(text) => self.u64(1).text(text),
        }
    }

    fn opt_u64(&mut self, n: Option<u64>) -> &mut Self {
        match n {
            None => self.u64(0),
            Some(n) => self.u64(1).u64(n),
        }
    }

    fn place(&mut self, at: &Place) -> &mut Self {
        self.u64(at.account.0).u64(at.mailbox.0.into()).u64(at.modseq)
    }

    fn sums(&mut self, sums: &Sums) -> &mut Self {
        self.u64(sums.messages).u64(sums.unseen).u64(sums.deleted).u64(sums.size)
    }

    fn runs(&mut self, runs: &[(u32, u32)]) -> &mut Self {
        self.u64(runs.len() as u64);
        for (first, last) in runs {
            self.u64((*first).into()).u64((last - first).into());
        }
        self
    }

    fn flags(&mut self, flags: &Flags) -> &mut Self {
        self.0.push(flags.bits());
        self.opt_text(flags.keyword_text().as_deref())
    }

    fn body_place(&mut self, place: BodyPlace) -> &mut Self {
        match place {
            BodyPlace::Segment { segment, at } => self.u64(1).u64(segment).u64(at),
            BodyPlace::File(number) => self.u64(2).u64(number),
        }
    }

    fn lease(&mut self, lease: &Lease) -> &mut Self {
        self.u64(lease.owner.0).i64(lease.until.0)
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Decoded<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(BadEffect)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u64(&mut self) -> Decoded<u64> {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            n |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(n);
            }
        }
        Err(BadEffect)
    }

    fn i64(&mut self) -> Decoded<i64> {
        let n = self.u64()?;
        Ok((n >> 1) as i64 ^ -((n & 1) as i64))
    }

    fn u32(&mut self) -> Decoded<u32> {
        self.u64()?.try_into().map_err(|_| BadEffect)
    }

    fn bool(&mut self) -> Decoded<bool> {
        match self.u64()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(BadEffect),
        }
    }

    fn bytes(&mut self) -> Decoded<Vec<u8>> {
        let n = usize::try_from(self.u64()?).map_err(|_| BadEffect)?;
        Ok(self.take(n)?.to_vec())
    }

    fn text(&mut self) -> Decoded<String> {
        String::from_utf8(self.bytes()?).map_err(|_| BadEffect)
    }

    fn opt_text(&mut self) -> Decoded<Option<String>> {
        Ok(if self.bool()? { Some(self.text()?) } else { None })
    }

    fn opt_u64(&mut self) -> Decoded<Option<u64>> {
        Ok(if self.bool()? { Some(self.u64()?) } else { None })
    }

    fn place(&mut self) -> Decoded<Place> {
        Ok(Place { account: AccountId(self.u64()?), mailbox: MailboxId(self.u32()?), modseq: self.u64()? })
    }

    fn sums(&mut self) -> Decoded<Sums> {
        Ok(Sums { messages: self.u64()?, unseen: self.u64()?, deleted: self.u64()?, size: self.u64()? })
    }

    fn runs(&mut self) -> Decoded<Vec<(u32, u32)>> {
        let mut runs = Vec::new();
        for _ in 0..self.u64()? {
            let first = self.u32()?;
            runs.push((first, first.checked_add(self.u32()?).ok_or(BadEffect)?));
        }
        Ok(runs)
    }

    fn flags(&mut self) -> Decoded<Flags> {
        let bits = self.take(1)?[0];
        Ok(Flags::from_stored(bits, self.opt_text()?.as_deref()))
    }

    fn body_place(&mut self) -> Decoded<BodyPlace> {
        match self.u64()? {
            1 => Ok(BodyPlace::Segment { segment: self.u64()?, at: self.u64()? }),
            2 => Ok(BodyPlace::File(self.u64()?)),
            _ => Err(BadEffect),
        }
    }

    fn lease(&mut self) -> Decoded<Lease> {
        Ok(Lease { owner: LeaseOwner(self.u64()?), until: UnixMillis(self.i64()?) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flags() -> impl Strategy<Value = Flags> {
        (0..32u8, prop::option::of("[a-z]{1,5}( [a-z]{6,9})?"))
            .prop_map(|(bits, keywords)| Flags::from_stored(bits, keywords.as_deref()))
    }

    fn runs() -> impl Strategy<Value = Vec<(u32, u32)>> {
        prop::collection::vec((any::<u32>(), any::<u32>()).prop_map(|(a, b)| (a.min(b), a.max(b))), 0..5)
    }

    fn effect() -> impl Strategy<Value = Effect> {
        let place = (any::<u64>(), any::<u32>(), any::<u64>()).prop_map(|(account, mailbox, modseq)| Place {
            account: AccountId(account),
            mailbox: MailboxId(mailbox),
            modseq,
        });
        let sums =
            any::<[u64; 4]>().prop_map(|[messages, unseen, deleted, size]| Sums { messages, unseen, deleted, size });
        let text = prop::option::of(".{0,20}");
        let bytes = || prop::collection::vec(any::<u8>(), 0..40);
        let lease = (any::<u64>(), any::<i64>())
            .prop_map(|(owner, until)| Lease { owner: LeaseOwner(owner), until: UnixMillis(until) });
        prop_oneof![
            (any::<u64>(), ".{0,20}", text.clone(), any::<Option<u64>>(), any::<u32>()).prop_map(
                |(account, name, password, quota, uidvalidity)| Effect::AccountCreated {
                    account: AccountId(account),
                    name,
                    password,
                    quota,
                    uidvalidity
                }
            ),
            (place.clone(), ".{0,20}", any::<u32>(), text).prop_map(|(at, name, uidvalidity, special_use)| {
                Effect::MailboxCreated { at, name, uidvalidity, special_use }
            }),
            (place.clone(), any::<u32>(), any::<[u64; 2]>(), flags(), any::<[i64; 2]>()).prop_map(
                |(at, uid, [body, size], flags, [internal, saved])| Effect::MessageAdded {
                    at,
                    uid,
                    body: BodyId(body),
                    size,
                    flags,
                    internal: UnixMillis(internal),
                    saved: UnixMillis(saved)
                }
            ),
            (place.clone(), runs(), flags(), any::<[i64; 2]>()).prop_map(|(at, runs, flags, [unseen, deleted])| {
                let runs = runs.into_iter().map(|(first, last)| (first, last, flags.clone())).collect();
                Effect::FlagsSet { at, runs, unseen, deleted }
            }),
            (place, any::<[u32; 2]>(), runs(), any::<i64>(), sums).prop_map(
                |(at, [from, first], runs, saved, sums)| {
                    Effect::Copied { at, from: MailboxId(from), runs, first, saved: UnixMillis(saved), sums }
                }
            ),
            (any::<[u64; 4]>(), any::<bool>(), any::<[u8; 32]>()).prop_map(
                |([body, segment, at, size], in_file, hash)| {
                    let place = if in_file { BodyPlace::File(at) } else { BodyPlace::Segment { segment, at } };
                    Effect::BodyAdded { body: BodyId(body), place, size, hash }
                }
            ),
            (any::<[u64; 3]>(), any::<i64>(), bytes(), bytes(), prop::option::of(lease)).prop_map(
                |([id, body, size], due, envelope, state, lease)| Effect::QueuePut {
                    id: QueueId(id),
                    due: UnixMillis(due),
                    body: BodyId(body),
                    size,
                    envelope,
                    state,
                    lease
                }
            ),
            (any::<u8>(), any::<i64>(), ".{0,20}", bytes()).prop_map(|(table, n, text, blob)| Effect::Row {
                table,
                values: vec![Value::Null, Value::Integer(n), Value::Text(text), Value::Blob(blob)]
            }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(effects in prop::collection::vec(effect(), 0..5)) {
            let mut bytes = Vec::new();
            for effect in &effects {
                effect.encode(&mut bytes);
            }
            let mut rest = &bytes[..];
            let mut decoded = Vec::new();
            while let Some(effect) = Effect::decode(&mut rest).expect("sound") {
                decoded.push(effect);
            }
            prop_assert_eq!(decoded, effects);
        }

        #[test]
        fn garbage_is_refused_quietly(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut rest = &bytes[..];
            while let Ok(Some(_)) = Effect::decode(&mut rest) {}
        }
    }
}
