//! QUORUM-14, -15: what a referee, or a party on its way to one, can reach by lying at each step.

use std::ops::ControlFlow;

use sealgrid_graph::execute::{Batch, BatchRef, Observer};
use sealgrid_graph::trace::TraceObserver;
use sealgrid_protocol::claims::{EvidenceKind, FaultKind};
use sealgrid_protocol::job::client::Reason;
use sealgrid_protocol::job::evidence::{Assumption, Dispute, End, Votes, check_dispute};
use sealgrid_protocol::job::header::{JobHeader, Payload, RefereeRule, commit_output};
use sealgrid_protocol::job::message::{Assign, Exchange, Message, OperandLeaf, Operands, Refusal, Why};
use sealgrid_protocol::job::statement::{Finding, Signed};
use sealgrid_protocol::job::work::adjudicate;
use sealgrid_seal::canonical;
use sealgrid_seal::digest::{Commitment, labels};

use crate::grid::{
    CLIENT, Grid, LIE, Node, expected, graph, header, honest, identity, job_key, keys, liar, payload, public,
    rng,
};

const LIED: FaultKind = FaultKind::Lie { operation: LIE as u32 };
/// Places of the first and the second referee.
const REFEREES: [usize; 2] = [3, 4];

/// A quorum of three, the second of which lies, with two reserves as referees; the first referee's answer is altered.
fn judged_by(alter: impl Fn(&Finding) -> Vec<Message> + 'static) -> Grid {
    let header = JobHeader { referee: RefereeRule::Reserve, ..header(3, 5) };
    Grid::with(header, vec![honest(), liar(1), honest(), honest(), honest()])
        .on_message(move |said| match &said.message {
            Message::Finding(finding) if said.from == REFEREES[0] => Some(alter(finding.claimed())),
            _ => None,
        })
        .run()
}

fn sign(by: usize, finding: Finding) -> Message {
    Message::Finding(Signed::sign(&identity(by), finding))
}

/// The leaf that the liar committed to at [`LIE`], read off the dispute as an auditor would.
fn liars_leaf() -> Commitment {
    let grid = judged_by(|finding| vec![sign(REFEREES[0], finding.clone())]);
    let dispute = Dispute::from_bytes(&grid.evidence(EvidenceKind::Dispute)).expect("evidence");
    let last = dispute.duels[0].rounds.last().expect("a bisection").second.claimed();
    if last.position.start == LIE as u32 { last.opening.left } else { last.opening.right }
}

#[test]
fn an_honest_referee_names_the_liar() {
    let grid = judged_by(|finding| vec![sign(REFEREES[0], finding.clone())]);
    assert_eq!(grid.accepted().output, expected());
    assert_eq!(
        (grid.faults_of(1), grid.faults_of(0), grid.faults_of(REFEREES[0])),
        (vec![LIED], vec![], vec![])
    );
    assert_eq!(grid.claims().reserves_used, [public(REFEREES[0])]);
}

#[test]
fn a_referee_that_sides_with_the_liar_reaches_a_refusal_and_a_false_name_but_no_wrong_result() {
    let leaf = liars_leaf();
    let grid = judged_by(move |finding| vec![sign(REFEREES[0], Finding { leaf, ..finding.clone() })]);
    let refused = grid.refused();
    assert_eq!((refused.reason, refused.reason.code()), (Reason::NoMajority, "E-QRM-20"));
    assert_eq!((grid.faults_of(0), grid.faults_of(2)), (vec![LIED], vec![LIED]), "the false names");
    // The auditor sees on whose word that rests, and with key, model and operands finds that the word is false.
    let votes = Votes::from_bytes(&grid.evidence(EvidenceKind::Votes)).expect("evidence");
    let dispute = Dispute::from_bytes(&grid.evidence(EvidenceKind::Dispute)).expect("evidence");
    let judged = check_dispute(&grid.header, &votes, Some(&dispute), Some(&job_key()));
    assert_eq!(judged.expect_err("one vote").code(), "E-QRM-20");
    let End::Settle { operands, finding } = &dispute.duels[0].end else { panic!("settled") };
    let values: Vec<u32> = operands.iter().map(|operand| operand.value).collect();
    // Operation 2 takes the maximum of the input and of the input moved twice, that is, of the input with itself.
    let shown = Payload {
        job_key: job_key(),
        inputs: vec![payload().inputs[0].clone(), payload().inputs[0].clone()],
    };
    let again = adjudicate(&graph(), &grid.header, LIE as u32, &values, &shown).expect("the operands fit");
    assert_eq!(again.operands, finding.claimed().operands, "the same question");
    assert_ne!(again.leaf, finding.claimed().leaf, "another answer");
}

#[test]
fn a_lying_minority_and_a_lying_referee_together_reach_a_refusal() {
    // The referee is believed, so the honest class is out; what is left is one vote of five.
    let leaf = liars_leaf();
    let header = JobHeader { referee: RefereeRule::Reserve, ..header(5, 6) };
    let nodes = vec![honest(), liar(1), honest(), honest(), liar(1), honest()];
    let grid = Grid::with(header, nodes)
        .on_message(move |said| match &said.message {
            Message::Finding(finding) => Some(vec![sign(5, Finding { leaf, ..finding.claimed().clone() })]),
            _ => None,
        })
        .run();
    assert_eq!(grid.refused().reason, Reason::NoMajority);
}

#[test]
fn a_referee_that_invents_a_third_answer_reaches_a_refusal() {
    let grid = judged_by(|finding| {
        vec![sign(REFEREES[0], Finding { leaf: Commitment([7; 32]), ..finding.clone() })]
    });
    assert_eq!(grid.refused().reason, Reason::NoMajority);
    assert_eq!([0, 1, 2].map(|place| grid.faults_of(place)), [vec![LIED], vec![LIED], vec![LIED]]);
}

/// Answers that are not about what was asked, or not of whom they name: the next reserve judges, and the referee is late.
#[test]
fn what_does_not_answer_the_question_is_not_heard_and_the_next_reserve_judges() {
    type Alter = fn(&Finding) -> Vec<Message>;
    let lies: [(&str, Alter); 6] = [
        ("another operation", |finding| {
            vec![sign(REFEREES[0], Finding { operation: finding.operation + 1, ..finding.clone() })]
        }),
        ("other operands", |finding| {
            vec![sign(REFEREES[0], Finding { operands: vec![Commitment([7; 32]); 2], ..finding.clone() })]
        }),
        ("no operands", |finding| {
            vec![sign(REFEREES[0], Finding { operands: Vec::new(), ..finding.clone() })]
        }),
        ("signed by the liar", |finding| vec![sign(1, finding.clone())]),
        ("in the name of the next reserve", |finding| {
            vec![sign(REFEREES[1], Finding { node: public(REFEREES[1]), ..finding.clone() })]
        }),
        ("silence", |_| Vec::new()),
    ];
    for (what, alter) in lies {
        let grid = judged_by(alter);
        assert_eq!(grid.accepted().output, expected(), "{what}");
        assert_eq!(grid.faults_of(1), [LIED], "{what}");
        assert_eq!(grid.faults_of(REFEREES[0]), [FaultKind::Late], "{what}");
        assert_eq!(grid.faults_of(0), [], "{what}");
    }
}

#[test]
fn a_referee_that_refuses_is_named_and_the_next_reserve_judges() {
    let grid = judged_by(|finding| {
        vec![Message::Refuse(Refusal { job: finding.job, exchange: Exchange::Refer, why: Why::Busy })]
    });
    assert_eq!(grid.accepted().output, expected());
    assert_eq!(grid.faults_of(REFEREES[0]), [FaultKind::Refuse]);
}

#[test]
fn a_referee_that_calls_the_operands_wrong_can_only_have_parties_called_silent() {
    let grid = judged_by(|finding| {
        vec![Message::Refuse(Refusal { job: finding.job, exchange: Exchange::Refer, why: Why::BadQuestion })]
    });
    assert_eq!(grid.refused().reason, Reason::NoMajority);
    let proven = grid.refused().faults.iter().filter(|fault| fault.kind.is_proven()).count();
    assert_eq!(proven, 0, "nobody is proven anything");
}

#[test]
fn without_a_referee_the_job_is_refused() {
    let header = JobHeader { referee: RefereeRule::Reserve, ..header(3, 3) };
    let grid = Grid::with(header, vec![honest(), liar(1), honest()]).run();
    assert_eq!((grid.refused().reason, grid.refused().reason.code()), (Reason::NoReferee, "E-QRM-22"));
    let mut grid = Grid::new(3, vec![honest(), liar(1), honest()]);
    grid.holds_model = false;
    assert_eq!(grid.run().refused().reason, Reason::NoReferee);
}

/// Operands that stand in the liar's trace but are not the operation's: found out by whoever judges, and as good as none.
#[test]
fn a_liar_that_shows_other_operands_than_the_operations_is_silent_and_the_job_is_done() {
    for referee in [RefereeRule::Client, RefereeRule::Reserve] {
        let header = JobHeader { referee, ..header(3, 5) };
        let nodes = vec![honest(), liar(1), honest(), honest(), honest()];
        let mut assigned = None;
        let grid = Grid::with(header, nodes)
            .on_message(move |said| match &said.message {
                Message::Assign(assign) if said.to == 1 => {
                    assigned = Some(assign.clone());
                    None
                }
                Message::Operands(_) if said.from == 0 => Some(Vec::new()), // the liar is faster
                Message::Operands(_) if said.from == 1 => {
                    let assign = assigned.as_ref().expect("it was assigned the job");
                    Some(vec![Message::Operands(operands_of_another_operation(assign))])
                }
                _ => None,
            })
            .run();
        assert_eq!(grid.accepted().output, expected(), "{referee:?}");
        assert_eq!(grid.faults_of(1), [FaultKind::Silent], "{referee:?}");
        assert_eq!([0, 2, 3, 4].map(|place| grid.faults_of(place).len()), [0; 4], "{referee:?}");
    }
}

/// What the liar shows for operation 2: the output of operation 0, in its trace, well sealed.
fn operands_of_another_operation(assign: &Assign) -> Operands {
    let header = &assign.header;
    let (_, exporter) =
        keys(1).open(labels::JOB_PAYLOAD, &header.to_bytes(), &assign.payload).expect("its own");
    let key = job_key();
    let mut watch = Watch { trace: TraceObserver::new(&key), first: None };
    liar(1).run(&payload().inputs, &mut watch).expect("the inputs fit");
    let batch = watch.first.expect("five operations");
    let tree = watch.trace.finish().expect("five operations");
    let path = tree.prove_leaf(0).expect("five operations");
    let leaf =
        OperandLeaf { value: 1, leaf: commit_output(&job_key(), &header.shape, 1, batch.view()), path };
    let aad = [&header.id().0.0[..], &[1], &(LIE as u32).to_le_bytes()].concat();
    let plain = canonical::encode(&vec![batch]);
    let sealed = exporter.reply_key(labels::JOB_REPLY).seal(&mut rng(1), &aad, &plain);
    Operands { job: header.id(), operation: LIE as u32, leaves: vec![leaf], sealed }
}

struct Watch<'k> {
    trace: TraceObserver<'k>,
    first: Option<Batch>,
}

impl Observer for Watch<'_> {
    fn operation(&mut self, index: usize, output: BatchRef<'_>) -> ControlFlow<()> {
        self.first.get_or_insert_with(|| output.to_batch());
        self.trace.operation(index, output)
    }
}

#[test]
fn quorum_14_who_voted_does_not_judge_and_nobody_judges_where_the_client_does() {
    let grid = judged_by(|finding| vec![sign(REFEREES[0], finding.clone())]);
    let refer = grid.said_by(CLIENT).find_map(|said| match said {
        Message::Refer(refer) => Some(refer.clone()),
        _ => None,
    });
    let refer = refer.expect("a question to the referee");
    let mut voter = Node::new(0, honest());
    assert_eq!(voter.refusal(grid.now, CLIENT, Message::Refer(refer.clone())), Why::NotAParty);
    let mut referee = Node::new(REFEREES[0], honest());
    let mut elsewhere = refer.clone();
    elsewhere.header.referee = RefereeRule::Client;
    assert_eq!(referee.refusal(grid.now, CLIENT, Message::Refer(elsewhere)), Why::NotAParty);
    let said = referee.hear(grid.now, CLIENT, Message::Refer(refer));
    assert!(matches!(said[..], [Message::Finding(_)]));
}

#[test]
fn quorum_14_a_finding_of_who_may_not_judge_convinces_nobody() {
    let grid = judged_by(|finding| vec![sign(REFEREES[0], finding.clone())]);
    let votes = Votes::from_bytes(&grid.evidence(EvidenceKind::Votes)).expect("evidence");
    for judge in [0, 1, CLIENT, 50] {
        let mut dispute = Dispute::from_bytes(&grid.evidence(EvidenceKind::Dispute)).expect("evidence");
        let End::Settle { finding, .. } = &mut dispute.duels[0].end else { panic!("settled") };
        *finding =
            Signed::sign(&identity(judge), Finding { node: public(judge), ..finding.claimed().clone() });
        let error = check_dispute(&grid.header, &votes, Some(&dispute), None).expect_err("not a referee");
        assert_eq!(error.to_string(), "dispute breaks QUORUM-14: a finding of somebody who may not judge");
        assert_eq!(error.code(), "E-QRM-15");
    }
    let dispute = Dispute::from_bytes(&grid.evidence(EvidenceKind::Dispute)).expect("evidence");
    let judged = check_dispute(&grid.header, &votes, Some(&dispute), Some(&job_key())).expect("it holds");
    assert_eq!(judged.assumed, [Assumption::Referee(public(REFEREES[0]))], "on whose word it rests");
}
