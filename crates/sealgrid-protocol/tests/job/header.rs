//! JOB-01 to JOB-08.

use sealgrid_protocol::claims::{PARTIES_MAX, RECORDS_MAX};
use sealgrid_protocol::job::header::{
    HEADER_BYTES_MAX, JobHeader, LIFETIME_MS_MAX, Payload, TraceShape, commit_inputs, commit_outputs,
};
use sealgrid_protocol::names::{Protection, Verification};
use sealgrid_seal::canonical::NotCanonical;
use sealgrid_seal::secret::{Secret, SecretBytes};

use crate::grid::{expected, graph, header, inputs, job_key, payload, public};

/// The rule that a header altered so breaks, in its check and when it is read from bytes.
fn broken(alter: impl FnOnce(&mut JobHeader)) -> &'static str {
    let mut header = header(3, 5);
    alter(&mut header);
    let error = header.check().expect_err("a rule is broken");
    assert_eq!(error.code(), "E-QRM-01");
    assert_eq!(JobHeader::from_bytes(&header.to_bytes()), Err(error));
    error.rule
}

fn kept(alter: impl FnOnce(&mut JobHeader)) {
    let mut header = header(3, 5);
    alter(&mut header);
    assert_eq!(JobHeader::from_bytes(&header.to_bytes()), Ok(header));
}

#[test]
fn job_01_a_header_has_one_spelling_of_at_most_16_kib() {
    let bytes = header(3, 5).to_bytes();
    assert_eq!(JobHeader::from_bytes(&bytes), Ok(header(3, 5)));
    let long = vec![0; HEADER_BYTES_MAX + 1];
    for wrong in [&bytes[..bytes.len() - 1], &[&bytes[..], &[0]].concat(), &[], &long] {
        assert_eq!(JobHeader::from_bytes(wrong).expect_err("no header").rule, "JOB-01");
    }
}

#[test]
fn job_01_any_flipped_bit_is_another_job_or_none() {
    let (header, bytes) = (header(3, 5), header(3, 5).to_bytes());
    for bit in 0..8 * bytes.len() {
        let mut wrong = bytes.clone();
        wrong[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = JobHeader::from_bytes(&wrong) {
            assert_ne!(other.id(), header.id(), "bit {bit}");
        }
    }
}

#[test]
fn job_02_the_version_is_1() {
    assert_eq!(broken(|header| header.version = 2), "JOB-02");
    assert_eq!(broken(|header| header.version = 0), "JOB-02");
}

#[test]
fn job_03_records_are_bounded() {
    assert_eq!(broken(|header| header.records = 0), "JOB-03");
    assert_eq!(broken(|header| header.records = RECORDS_MAX + 1), "JOB-03");
    kept(|header| header.records = RECORDS_MAX);
}

#[test]
fn job_04_the_shape_is_bounded_and_its_outputs_are_values() {
    assert_eq!(TraceShape::of(&graph()), TraceShape { inputs: 1, operations: 5, outputs: vec![5] });
    assert_eq!(broken(|header| header.shape.outputs.clear()), "JOB-04");
    assert_eq!(broken(|header| header.shape.outputs = vec![1; 257]), "JOB-04");
    assert_eq!(broken(|header| header.shape.outputs = vec![6]), "JOB-04");
    assert_eq!(broken(|header| header.shape.inputs = 257), "JOB-04");
    assert_eq!(broken(|header| header.shape.inputs = u32::MAX), "JOB-04");
    assert_eq!(broken(|header| header.shape.operations = 0), "JOB-04");
    assert_eq!(broken(|header| header.shape.operations = (1 << 20) + 1), "JOB-04");
    kept(|header| header.shape = TraceShape { inputs: 256, operations: 1 << 20, outputs: vec![0; 256] });
}

#[test]
fn job_05_the_committee_has_the_size_in_use() {
    assert_eq!(broken(|header| header.committee.truncate(2)), "JOB-05");
    for members in [0, 1, 10] {
        let verification = Verification::Quorum { members };
        assert_eq!(broken(|header| header.verification = verification), "JOB-05");
    }
    assert_eq!(broken(|header| header.verification = Verification::Proof), "JOB-05");
    for members in [1, 2, 9] {
        assert_eq!(header(members, 10).check(), Ok(()));
    }
}

#[test]
fn job_06_no_party_is_named_twice_and_there_are_at_most_32() {
    assert_eq!(broken(|header| header.committee[1] = header.committee[0]), "JOB-06");
    assert_eq!(broken(|header| header.reserves[0] = header.committee[0]), "JOB-06");
    let parties = |count: usize| (0..count).map(|number| public(number + 10)).collect();
    assert_eq!(broken(|header| header.reserves = parties(PARTIES_MAX - 2)), "JOB-06");
    kept(|header| header.reserves = parties(PARTIES_MAX - 3));
}

#[test]
fn job_07_the_deadline_is_after_the_request_by_at_most_a_day() {
    assert_eq!(broken(|header| header.deadline = header.requested), "JOB-07");
    assert_eq!(broken(|header| header.deadline = header.requested + LIFETIME_MS_MAX + 1), "JOB-07");
    assert_eq!(broken(|header| (header.requested, header.deadline) = (u64::MAX, 0)), "JOB-07");
    kept(|header| header.deadline = header.requested + LIFETIME_MS_MAX);
}

#[test]
fn job_08_nothing_weaker_is_used_than_was_asked_for() {
    assert_eq!(broken(|header| header.protection_asked = Protection::Attested), "JOB-08");
    assert_eq!(broken(|header| header.verification_asked = Verification::Quorum { members: 4 }), "JOB-08");
    kept(|header| header.verification_asked = Verification::Quorum { members: 2 });
    kept(|header| header.verification_asked = Verification::Signed);
}

#[test]
fn a_majority_is_more_than_half_of_the_places() {
    let majorities: Vec<_> = (1..=9).map(|members| header(members, 9).majority()).collect();
    assert_eq!(majorities, [1, 2, 2, 3, 3, 4, 4, 5, 5]);
}

#[test]
fn job_11_a_commitment_binds_key_order_and_content_of_the_input() {
    let committed = commit_inputs(&job_key(), &inputs());
    assert_ne!(committed, commit_inputs(&Secret::new([0x56; 32]), &inputs()));
    assert_ne!(committed, commit_inputs(&job_key(), &expected()));
    let two = [inputs(), expected()].concat();
    let swapped = [expected(), inputs()].concat();
    assert_ne!(commit_inputs(&job_key(), &two), commit_inputs(&job_key(), &swapped));
    let shape = &header(3, 3).shape;
    assert!(commit_outputs(&job_key(), shape, &expected()).is_some());
    assert_eq!(commit_outputs(&job_key(), shape, &two), None, "as many outputs as the shape has");
}

#[test]
fn a_payload_has_one_spelling() {
    let bytes = payload().encode();
    let read = Payload::decode(&bytes).expect("its own bytes");
    assert_eq!(read.inputs, inputs());
    let mut longer = bytes.expose().to_vec();
    longer.push(0);
    assert_eq!(
        Payload::decode(&SecretBytes::new(longer)).expect_err("a byte behind"),
        NotCanonical::OtherSpelling
    );
    for length in 0..bytes.len() {
        let cut = SecretBytes::new(bytes.expose()[..length].to_vec());
        assert!(Payload::decode(&cut).is_err(), "cut to {length}");
    }
    let mut version = bytes.expose().to_vec();
    version[1] = 2;
    assert!(Payload::decode(&SecretBytes::new(version)).is_err());
}
