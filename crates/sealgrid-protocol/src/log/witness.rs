//! A witness (C2SP tlog-witness): it remembers the last checkpoint of each log it watches and cosigns only what
//! extends that one. A log that shows two faces has to find a witness for each, and the first exchange of heads between
//! the two yields a [`Fork`]: two notes that anyone can check.
//!
//! What is cosigned was stored before: after a crash a witness knows everything it ever signed.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use minicbor::{Decode, Encode};
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};

use super::checkpoint::{hash_from_base64, hash_to_base64};
use super::note::{NOTE_LENGTH_MAX, Note, NoteSignature};
use super::roots::LogRoots;
use super::tree::{self, PROOF_LENGTH_MAX, TreeHash};
use super::{Checkpoint, LogError};
use crate::machine::{Effect, Event, Machine, Millis, Ticket};

/// Logs that one witness watches at most.
pub const LOGS_MAX: usize = 64;

/// Bytes of a request at most.
pub const ADD_CHECKPOINT_LENGTH_MAX: usize = NOTE_LENGTH_MAX + 4096;

/// The body of an `add-checkpoint` request. In CBOR: its text form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Size of the checkpoint that the log believes the witness cosigned last; 0 if none.
    pub old_size: u64,
    /// Proof that the new checkpoint extends it.
    pub consistency: Vec<TreeHash>,
    /// The new checkpoint, signed by its log.
    pub note: Note,
}

impl AddCheckpoint {
    /// Reads a request body, in one spelling.
    ///
    /// # Errors
    /// [`LogError::Malformed`].
    pub fn from_text(text: &str) -> Result<Self, LogError> {
        const MALFORMED: LogError = LogError::Malformed { what: "add-checkpoint request" };
        if text.len() > ADD_CHECKPOINT_LENGTH_MAX {
            return Err(MALFORMED);
        }
        Self::read_text(text).filter(|request| request.to_text() == text).ok_or(MALFORMED)
    }

    fn read_text(text: &str) -> Option<Self> {
        let (head, note) = text.split_once("\n\n")?;
        let mut lines = head.split('\n');
        let old_size = lines.next()?.strip_prefix("old ")?.parse().ok()?;
        let mut consistency = Vec::new();
        for line in lines {
            if consistency.len() == PROOF_LENGTH_MAX - 1 {
                return None;
            }
            consistency.push(hash_from_base64(line)?);
        }
        Some(Self { old_size, consistency, note: Note::parse(note.as_bytes()).ok()? })
    }

    /// The request body.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("old {}\n", self.old_size);
        for hash in &self.consistency {
            writeln!(text, "{}", hash_to_base64(hash)).expect("writing to a String does not fail");
        }
        text.push('\n');
        text.push_str(&self.note.to_text());
        text
    }
}

/// What logs and witnesses say to each other.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum WitnessMessage {
    /// A log asks for a cosignature ([`AddCheckpoint::to_text`]).
    #[n(0)]
    AddCheckpoint(#[n(0)] String),
    /// The witness's signature line, without a newline.
    #[n(1)]
    Cosigned(#[n(0)] String),
    /// The request started from another size than the witness's last: it is this one.
    #[n(2)]
    Conflict(#[n(0)] u64),
    /// Not cosigned, for the reason with this code.
    #[n(3)]
    Refused(#[n(0)] String),
    /// A witness shows another its last checkpoint of a log (the note), to compare.
    #[n(4)]
    Head(#[n(0)] String),
    /// Anyone asks for the last checkpoint cosigned for the log of this origin; answered by [`WitnessMessage::Head`], or
    /// by nothing when there is none.
    #[n(5)]
    AskHead(#[n(0)] String),
}

/// What a witness tells the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WitnessReport {
    /// The log signed two trees of one size.
    Forked(Fork),
    /// Two signed heads of different size, and the proof that one extends the other does not hold: not evidence
    /// by itself (the proof may be the sender's fault), but the log has to answer for it.
    Unreconciled {
        /// The head this witness cosigned.
        known: String,
        /// The head that was shown.
        shown: String,
    },
}

/// Two notes signed by one log over different trees of the same size: evidence against it that needs no trust in who
/// exports it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Fork {
    /// One signed head.
    #[n(0)]
    pub first: String,
    /// The other.
    #[n(1)]
    pub second: String,
}

impl Fork {
    /// Checks the evidence. `Err` of [`LogError::Forked`] does not exist here: `Ok` means that the log forked.
    ///
    /// # Errors
    /// [`LogError`] when the two notes are no evidence against the log that `roots` describe.
    pub fn verify(&self, roots: &LogRoots) -> Result<(Checkpoint, Checkpoint), LogError> {
        let read = |note: &str| Ok(roots.verify_signed(&Note::parse(note.as_bytes())?)?.checkpoint);
        let (first, second) = (read(&self.first)?, read(&self.second)?);
        if first.size != second.size || first.root == second.root {
            return Err(LogError::Malformed { what: "evidence of a fork" });
        }
        Ok((first, second))
    }
}

/// What a witness has cosigned last, by log; restored from the last [`Effect::Store`] of each.
struct Watched {
    roots: LogRoots,
    last: Option<(Checkpoint, Note)>,
}

/// A cosignature that waits for its checkpoint to be durable.
struct Pending {
    ticket: Ticket,
    to: PublicIdentity,
    origin: String,
    head: (Checkpoint, Note),
    line: NoteSignature,
}

/// The machine. One checkpoint per log is in flight at a time.
pub struct Witness {
    name: String,
    identity: SigningIdentity,
    watched: BTreeMap<String, Watched>,
    pending: Vec<Pending>,
    effects: VecDeque<WitnessEffect>,
    next_ticket: u64,
}

/// What a witness asks for: it runs no work.
pub type WitnessEffect = Effect<WitnessMessage, std::convert::Infallible, WitnessReport>;
/// What can happen to a witness.
pub type WitnessEvent = Event<WitnessMessage, std::convert::Infallible, std::convert::Infallible>;

impl Witness {
    /// A witness called `name` that watches `logs`. `stored` holds the values it asked to store before, by key.
    ///
    /// # Errors
    /// [`LogError::Malformed`] for more than [`LOGS_MAX`] logs; any [`LogError`] for a stored value that does not verify.
    pub fn new(
        name: &str,
        identity: SigningIdentity,
        logs: Vec<LogRoots>,
        stored: &BTreeMap<Vec<u8>, Vec<u8>>,
    ) -> Result<Self, LogError> {
        if logs.len() > LOGS_MAX {
            return Err(LogError::Malformed { what: "list of watched logs" });
        }
        let mut watched = BTreeMap::new();
        for roots in logs {
            let last = match stored.get(roots.origin().as_bytes()) {
                Some(value) => {
                    let note = Note::parse(value)?;
                    Some((roots.verify_signed(&note)?.checkpoint, note))
                }
                None => None,
            };
            watched.insert(roots.origin().to_owned(), Watched { roots, last });
        }
        Ok(Self {
            name: name.to_owned(),
            identity,
            watched,
            pending: Vec::new(),
            effects: VecDeque::new(),
            next_ticket: 0,
        })
    }

    /// The last checkpoint cosigned for `origin`: what [`WitnessMessage::Head`] shows.
    #[must_use]
    pub fn head(&self, origin: &str) -> Option<&Note> {
        self.watched.get(origin)?.last.as_ref().map(|(_, note)| note)
    }

    fn received(&mut self, now: Millis, from: PublicIdentity, message: &WitnessMessage) {
        let answer = match message {
            WitnessMessage::AddCheckpoint(text) => self.add_checkpoint(now, from, text),
            WitnessMessage::Head(note) => self.compare(note),
            WitnessMessage::AskHead(origin) => {
                Ok(self.head(origin).map(|note| WitnessMessage::Head(note.to_text())))
            }
            // Answers are for logs; a witness that gets one did not ask.
            WitnessMessage::Cosigned(_) | WitnessMessage::Conflict(_) | WitnessMessage::Refused(_) => return,
        };
        match answer {
            Ok(None) => {}
            Ok(Some(message)) => self.effects.push_back(Effect::Send { to: from, message }),
            Err(error) => {
                let message = WitnessMessage::Refused(error.code().to_owned());
                self.effects.push_back(Effect::Send { to: from, message });
            }
        }
    }

    /// The checks of tlog-witness, `add-checkpoint`, in its order.
    fn add_checkpoint(
        &mut self,
        now: Millis,
        from: PublicIdentity,
        text: &str,
    ) -> Result<Option<WitnessMessage>, LogError> {
        let request = AddCheckpoint::from_text(text)?;
        let origin = Checkpoint::from_text(request.note.text())?.origin;
        let watched = self
            .watched
            .get(&origin)
            .ok_or_else(|| LogError::OtherLog { expected: "a watched log".to_owned() })?;
        let checkpoint = watched.roots.verify_signed(&request.note)?.checkpoint;
        let (last_size, last_root) = match &watched.last {
            Some((last, note)) => {
                if let Some(fork) = fork(last, note, &checkpoint, &request.note) {
                    self.effects.push_back(Effect::Report(WitnessReport::Forked(fork)));
                    return Err(LogError::Forked { origin, size: checkpoint.size });
                }
                (last.size, last.root)
            }
            None => (0, TreeHash::empty()),
        };
        let in_flight = self.pending.iter().any(|pending| pending.origin == origin);
        if request.old_size != last_size || in_flight {
            return Ok(Some(WitnessMessage::Conflict(last_size)));
        }
        let consistent = tree::verify_consistency(
            last_size,
            &last_root,
            checkpoint.size,
            &checkpoint.root,
            &request.consistency,
        );
        if let (Err(_), Some((_, note))) = (&consistent, &watched.last) {
            self.effects.push_back(Effect::Report(WitnessReport::Unreconciled {
                known: note.to_text(),
                shown: request.note.to_text(),
            }));
        }
        consistent?;
        let line = request.note.cosign(&self.name, &self.identity, now / 1000)?;
        self.store_then_send(from, origin, checkpoint, request.note, line);
        Ok(None)
    }

    fn store_then_send(
        &mut self,
        to: PublicIdentity,
        origin: String,
        checkpoint: Checkpoint,
        mut note: Note,
        line: NoteSignature,
    ) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        note.add(line.clone());
        self.effects.push_back(Effect::Store {
            ticket,
            key: origin.clone().into_bytes(),
            value: Some(note.to_text().into_bytes()),
        });
        self.pending.push(Pending { ticket, to, origin, head: (checkpoint, note), line });
    }

    fn stored(&mut self, ticket: Ticket) {
        let Some(position) = self.pending.iter().position(|pending| pending.ticket == ticket) else { return };
        let pending = self.pending.swap_remove(position);
        if let Some(watched) = self.watched.get_mut(&pending.origin) {
            watched.last = Some(pending.head);
        }
        let message = WitnessMessage::Cosigned(pending.line.to_line());
        self.effects.push_back(Effect::Send { to: pending.to, message });
    }

    /// Compares another witness's head with one's own.
    fn compare(&mut self, shown: &str) -> Result<Option<WitnessMessage>, LogError> {
        let shown = Note::parse(shown.as_bytes())?;
        let origin = Checkpoint::from_text(shown.text())?.origin;
        let Some(watched) = self.watched.get(&origin) else { return Ok(None) };
        let checkpoint = watched.roots.verify_signed(&shown)?.checkpoint;
        if let Some((last, note)) = &watched.last
            && let Some(fork) = fork(last, note, &checkpoint, &shown)
        {
            self.effects.push_back(Effect::Report(WitnessReport::Forked(fork)));
        }
        Ok(None)
    }
}

fn fork(known: &Checkpoint, known_note: &Note, shown: &Checkpoint, shown_note: &Note) -> Option<Fork> {
    let forked = known.size == shown.size && known.root != shown.root;
    forked.then(|| Fork { first: known_note.to_text(), second: shown_note.to_text() })
}

impl Machine for Witness {
    type Event = WitnessEvent;
    type Effect = WitnessEffect;

    fn handle(&mut self, now: Millis, event: WitnessEvent) {
        match event {
            Event::Received { from, message } => self.received(now, from, &message),
            Event::Stored { ticket } => self.stored(ticket),
            Event::Unreachable { .. } | Event::TimedOut { .. } => {}
            Event::Ran { outcome, .. } => match outcome {},
            Event::Appended { answer, .. } => match answer {},
        }
    }

    fn poll(&mut self) -> Option<WitnessEffect> {
        self.effects.pop_front()
    }
}

impl std::fmt::Debug for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Witness")
            .field("name", &self.name)
            .field("logs", &self.watched.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use sealgrid_seal::canonical;
    use sealgrid_seal::secret::Secret;

    use super::*;

    const ORIGIN: &str = "example.com/log";

    fn identity(seed: u8) -> SigningIdentity {
        SigningIdentity::from_seed(&Secret::new([seed; 32]))
    }

    fn roots() -> LogRoots {
        LogRoots::new(ORIGIN, identity(1).public(), vec![], 0).expect("sound")
    }

    /// A log in memory whose leaves anyone can choose.
    struct Log(Vec<TreeHash>);

    impl Log {
        fn of(leaves: &[&str]) -> Self {
            Self(leaves.iter().map(|leaf| TreeHash::leaf(leaf.as_bytes())).collect())
        }

        fn note(&self) -> Note {
            let size = self.0.len() as u64;
            let root = tree::root(&self.0[..], size).expect("in memory");
            Checkpoint { origin: ORIGIN.into(), size, root }.sign(&identity(1)).expect("a name")
        }

        fn request(&self, old_size: u64) -> WitnessMessage {
            let size = self.0.len() as u64;
            let consistency =
                tree::consistency_proof(&self.0[..], old_size.min(size), size).expect("in memory");
            let request = AddCheckpoint { old_size, consistency, note: self.note() };
            assert_eq!(AddCheckpoint::from_text(&request.to_text()), Ok(request.clone()));
            WitnessMessage::AddCheckpoint(request.to_text())
        }
    }

    /// A witness whose stores complete at once, and what it kept.
    struct Bench {
        witness: Witness,
        disk: BTreeMap<Vec<u8>, Vec<u8>>,
    }

    impl Bench {
        fn new(seed: u8) -> Self {
            let disk = BTreeMap::new();
            Self { witness: Self::witness(seed, &disk), disk }
        }

        fn witness(seed: u8, disk: &BTreeMap<Vec<u8>, Vec<u8>>) -> Witness {
            let name = format!("example.com/witness{seed}");
            Witness::new(&name, identity(seed), vec![roots()], disk).expect("sound")
        }

        fn hear(&mut self, message: WitnessMessage) -> (Vec<WitnessMessage>, Vec<WitnessReport>) {
            let coded: WitnessMessage =
                canonical::decode(&canonical::encode(&message), 1 << 17).expect("its own encoding");
            assert_eq!(coded, message);
            let (mut said, mut reported) = (Vec::new(), Vec::new());
            self.witness.handle(5000, Event::Received { from: identity(1).public(), message });
            while let Some(effect) = self.witness.poll() {
                match effect {
                    Effect::Send { message, .. } => said.push(message),
                    Effect::Report(report) => reported.push(report),
                    Effect::Store { ticket, key, value } => {
                        assert!(said.is_empty(), "nothing is said before it is stored");
                        self.disk.insert(key, value.expect("a witness never forgets"));
                        self.witness.handle(5000, Event::Stored { ticket });
                    }
                    other => panic!("a witness does not ask for {other:?}"),
                }
            }
            (said, reported)
        }

        fn refuses(&mut self, message: WitnessMessage, code: &str) -> Vec<WitnessReport> {
            let (said, reported) = self.hear(message);
            assert_eq!(said, [WitnessMessage::Refused(code.to_owned())]);
            reported
        }
    }

    #[test]
    fn a_growing_log_is_cosigned_and_the_cosignature_counts() {
        let mut bench = Bench::new(2);
        for log in [Log::of(&["a"]), Log::of(&["a", "b", "c"])] {
            let old_size = bench
                .witness
                .head(ORIGIN)
                .map_or(0, |note| Checkpoint::from_text(note.text()).expect("a checkpoint").size);
            let (said, reported) = bench.hear(log.request(old_size));
            let [WitnessMessage::Cosigned(line)] = &said[..] else { panic!("{said:?}") };
            assert_eq!(reported, []);
            let mut note = log.note();
            note.add(NoteSignature::from_line(line).expect("a line"));
            let witness = super::super::roots::Witness {
                name: "example.com/witness2".into(),
                identity: identity(2).public(),
            };
            let roots = LogRoots::new(ORIGIN, identity(1).public(), vec![witness], 1).expect("sound");
            assert_eq!(roots.verify(&note).expect("cosigned").cosigned, [("example.com/witness2".into(), 5)]);
        }
    }

    #[test]
    fn a_log_that_starts_elsewhere_is_told_where_the_witness_stands() {
        let mut bench = Bench::new(2);
        assert_eq!(bench.hear(Log::of(&["a", "b"]).request(1)).0, [WitnessMessage::Conflict(0)]);
        bench.hear(Log::of(&["a", "b"]).request(0));
        assert_eq!(bench.hear(Log::of(&["a", "b", "c"]).request(0)).0, [WitnessMessage::Conflict(2)]);
    }

    #[test]
    fn nothing_shrinks_and_nothing_is_rewritten() {
        let mut bench = Bench::new(2);
        bench.hear(Log::of(&["a", "b", "c"]).request(0));
        let reported = bench.refuses(Log::of(&["a", "b"]).request(3), "E-LOG-07");
        assert!(matches!(reported[..], [WitnessReport::Unreconciled { .. }]));
        let reported = bench.refuses(Log::of(&["a", "x", "c", "d"]).request(3), "E-LOG-07");
        assert!(matches!(reported[..], [WitnessReport::Unreconciled { .. }]));
        let head = bench.witness.head(ORIGIN).expect("cosigned");
        assert_eq!(head.text(), Log::of(&["a", "b", "c"]).note().text());
    }

    #[test]
    fn a_fork_at_one_witness_is_refused_and_exported() {
        let mut bench = Bench::new(2);
        bench.hear(Log::of(&["a", "b"]).request(0));
        let reported = bench.refuses(Log::of(&["a", "x"]).request(2), "E-LOG-09");
        let [WitnessReport::Forked(fork)] = &reported[..] else { panic!("{reported:?}") };
        assert!(fork.verify(&roots()).is_ok());
    }

    #[test]
    fn a_log_with_two_faces_is_caught_when_its_two_witnesses_compare_heads() {
        let (mut first, mut second) = (Bench::new(2), Bench::new(3));
        assert!(matches!(first.hear(Log::of(&["a", "b"]).request(0)).0[..], [WitnessMessage::Cosigned(_)]));
        assert!(matches!(second.hear(Log::of(&["a", "x"]).request(0)).0[..], [WitnessMessage::Cosigned(_)]));

        let shown = second.witness.head(ORIGIN).expect("cosigned").to_text();
        let (said, reported) = first.hear(WitnessMessage::Head(shown.clone()));
        assert_eq!(said, []);
        let [WitnessReport::Forked(fork)] = &reported[..] else { panic!("{reported:?}") };
        let exported: Fork = canonical::decode(&canonical::encode(fork), 1 << 17).expect("its own encoding");
        let (ours, theirs) = exported.verify(&roots()).expect("both heads are signed by the log");
        assert_eq!((ours.size, theirs.size), (2, 2));
        assert_ne!(ours.root, theirs.root);
        assert!(fork.first.contains("witness2") && fork.second.contains("witness3"));

        let same = Fork { first: shown.clone(), second: shown };
        assert!(same.verify(&roots()).is_err(), "one head is no evidence");
        let own = first.witness.head(ORIGIN).expect("cosigned").to_text();
        assert_eq!(first.hear(WitnessMessage::AskHead(ORIGIN.into())).0, [WitnessMessage::Head(own.clone())]);
        assert_eq!(first.hear(WitnessMessage::AskHead("example.com/other".into())), (vec![], vec![]));
        assert_eq!(first.hear(WitnessMessage::Head(own)), (vec![], vec![]));
    }

    #[test]
    fn a_restarted_witness_remembers_and_an_unstored_cosignature_was_never_sent() {
        let mut bench = Bench::new(2);
        bench.hear(Log::of(&["a", "b"]).request(0));
        bench.witness = Bench::witness(2, &bench.disk);
        bench.refuses(Log::of(&["a", "x"]).request(2), "E-LOG-09");

        // Crash between asking to store and the store's completion: nothing was said.
        let event =
            Event::Received { from: identity(1).public(), message: Log::of(&["a", "b", "c"]).request(2) };
        bench.witness.handle(5000, event);
        assert!(matches!(bench.witness.poll(), Some(Effect::Store { .. })));
        assert_eq!(bench.witness.poll(), None);
        // While it is in flight, a second checkpoint has to wait.
        let event =
            Event::Received { from: identity(1).public(), message: Log::of(&["a", "b", "d"]).request(2) };
        bench.witness.handle(5000, event);
        assert!(matches!(
            bench.witness.poll(),
            Some(Effect::Send { message: WitnessMessage::Conflict(2), .. })
        ));

        let corrupt = BTreeMap::from([(ORIGIN.as_bytes().to_vec(), b"not a note".to_vec())]);
        assert!(Witness::new("example.com/w", identity(2), vec![roots()], &corrupt).is_err());
    }

    #[test]
    fn what_is_not_a_request_of_a_watched_log_is_refused() {
        let mut bench = Bench::new(2);
        bench.refuses(WitnessMessage::AddCheckpoint("old 0\n".into()), "E-LOG-01");
        let other = Checkpoint { origin: "example.com/other".into(), size: 0, root: TreeHash::empty() };
        let note = other.sign(&identity(1)).expect("a name");
        let request = AddCheckpoint { old_size: 0, consistency: vec![], note };
        bench.refuses(WitnessMessage::AddCheckpoint(request.to_text()), "E-LOG-02");
        let forged = Checkpoint { origin: ORIGIN.into(), ..other }.sign(&identity(9)).expect("a name");
        let request = AddCheckpoint { old_size: 0, consistency: vec![], note: forged };
        bench.refuses(WitnessMessage::AddCheckpoint(request.to_text()), "E-LOG-03");
        assert_eq!(bench.hear(WitnessMessage::Cosigned("spam".into())), (vec![], vec![]));
    }
}
