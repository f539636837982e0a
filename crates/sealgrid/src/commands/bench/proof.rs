//! Proofs of runs of the shipped models, one record each, beside the run itself.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealgrid_graph::execute::Batch;
use sealgrid_graph::model::Model;
use sealgrid_node::measure::{self, Spread};
use sealgrid_seal::digest::CommitmentKey;

use super::{Line, least};
use crate::asking;
use crate::engines::{self, About, Checker, Level, Proof};
use crate::failure::Failure;
use crate::output::{duration, thousands};
use crate::shipped::Shipped;

/// Proofs of each kind.
const TIMES: usize = 20;
/// What a proof tells of records and results.
type Told<'k> = (engines::Records<'k>, engines::Results<'k>);
/// The results alone.
const TOLD: Told<'_> = (engines::Records::Hide, engines::Results::Show);
/// Openings of a registration, as `model register` has them.
const OPENINGS: u32 = 32;

/// Registers `shipped`, proves a run of it with its weights told and not told, and checks both.
pub fn proofs(shipped: &Shipped, lines: &mut Vec<Line>) -> Result<(), Failure> {
    let model = shipped.import()?;
    let mut records = shipped.records()?;
    records.rows.truncate(1);
    let (inputs, _) = asking::encode(&records, &model.public())?;
    let prepared = engines::executor()
        .prepare(Arc::clone(model.graph()))
        .map_err(|error| Failure::new(error.code(), error.to_string()))?;
    let run = least(|| black_box(prepared.run(&inputs, &mut ())));
    if let Err(failure) = engines::plan(&model, About::Told(Level::default()), &inputs, TOLD, u64::MAX) {
        // Said, and no failure of the bench.
        let beside = format!("not provable: {}", failure.why.unwrap_or(failure.what));
        lines.push(Line::timed(format!("{}: the run", shipped.name), run, beside));
        return Ok(());
    }
    let mut line = |what: &str, took: Took, beside: String| {
        let Took { spread, processor } = took;
        let beside = format!("median {}; {beside}", duration(spread.median));
        let what = format!("{}: {what}", shipped.name);
        lines.push(Line { what, least: spread.least, processor: Some(processor), beside });
    };
    let (proven, proof) = proving(&model, About::Told(Level::default()), &inputs, TOLD)?;
    let bytes = thousands(proof.to_bytes().len() as u64);
    line("proving, weights told", proven, format!("{bytes} bytes; the run takes {}", duration(run)));
    let owner = Checker::Owner(Box::new(model), None);
    let checked = taken(|| owner.verify(&proof).map(drop))?;
    let Checker::Owner(model, _) = owner else { unreachable!("made above") };
    let started = Instant::now();
    let (model, own) = match engines::register(*model, OPENINGS, Level::default()) {
        Ok(registered) => registered,
        Err(failure) => {
            // Said, and no failure of the bench.
            let beside = format!("with private weights: {}", failure.why.unwrap_or(failure.what));
            line("checking it with the model", checked, beside);
            return Ok(());
        }
    };
    line("checking it with the model", checked, String::from("the model's commitment counted"));
    // More openings than there are: these weights are no secret.
    let published = engines::publish(&model, &own)?;
    let registering = started.elapsed();
    let bytes = thousands(published.to_bytes().len() as u64);
    let checked = taken(|| engines::verify_registration(&published).map(drop))?;
    let beside = format!("{bytes} bytes, made in {}; once a model", duration(registering));
    line("checking the registration", checked, beside);
    let (proven, proof) = proving(&model, (&own).into(), &inputs, TOLD)?;
    let bytes = thousands(proof.to_bytes().len() as u64);
    line("proving, weights private", proven, format!("{bytes} bytes; the run takes {}", duration(run)));
    let checked = taken(|| engines::verify_registered(&proof, &published).map(drop))?;
    line("checking it without weights", checked, "the registration not counted".to_owned());
    let key = CommitmentKey::random(&mut crate::entropy());
    let told = (engines::Records::Commit(&key), engines::Results::Commit(&key));
    let (proven, proof) = proving(&model, (&own).into(), &inputs, told)?;
    let bytes = thousands(proof.to_bytes().len() as u64);
    line("proving, records and results committed to", proven, format!("{bytes} bytes; weights private"));
    let checked = taken(|| engines::verify_registered(&proof, &published).map(drop))?;
    line("checking it with commitments alone", checked, "the registration not counted".to_owned());
    // The same weights, surer.
    let (model, own) = engines::register(model, OPENINGS, Level::Bits127)?;
    let published = engines::publish(&model, &own)?;
    let (proven, proof) = proving(&model, (&own).into(), &inputs, TOLD)?;
    let bytes = thousands(proof.to_bytes().len() as u64);
    line("proving with 127 bits", proven, format!("{bytes} bytes; weights private"));
    let mut bits = 0.0;
    let checked = taken(|| {
        bits = engines::verify_registered(&proof, &published)?;
        Ok(())
    })?;
    line("checking it with 127 bits", checked, format!("{bits:.1} bits; the registration not counted"));
    Ok(())
}

/// Proves again and again; the last proof.
fn proving(
    model: &Model,
    about: About<'_>,
    inputs: &[Batch],
    told: Told<'_>,
) -> Result<(Took, Proof), Failure> {
    let prove = || engines::prove(engines::plan(model, about, inputs, told, u64::MAX)?);
    let mut proof = prove()?;
    let took = taken(|| {
        proof = prove()?;
        Ok(())
    })?;
    Ok((took, proof))
}

/// What many calls of one thing took: each by the clock, all together of the processor.
struct Took {
    spread: Spread,
    /// Of all threads, the mean of the calls: what a shared machine does not stretch.
    processor: Duration,
}

/// Times `call`, after one call that is not counted.
fn taken(mut call: impl FnMut() -> Result<(), Failure>) -> Result<Took, Failure> {
    call()?;
    let (mut times, before) = (Vec::with_capacity(TIMES), measure::processor_time());
    for _ in 0..TIMES {
        let started = Instant::now();
        call()?;
        times.push(started.elapsed());
    }
    let processor = measure::processor_time().saturating_sub(before);
    let calls = u32::try_from(TIMES).expect("a few");
    Ok(Took { spread: Spread::of(times), processor: processor / calls })
}
