//! `sealgrid model register`: a model whose runs can be proven to people who have neither its weights nor the records.

use std::path::PathBuf;
use std::time::Instant;

use crate::failure::Failure;
use crate::files::{self, Place};
use crate::home::Home;
use crate::output::{Output, Report, duration, facts, thousands};
use crate::{engines, openings};

/// Register a model's weights for proofs that tell nothing of them.
///
/// The registered model is another model to everybody: its identity names the registration. Give the .sgr file to whoever is to check proofs.
#[derive(Debug, clap::Args)]
pub struct Register {
    /// Model file, or the name of an imported model.
    model: PathBuf,
    /// Where the registered model goes; what others need to check proofs goes beside it, as .sgr.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Openings of the registration, of which it takes one itself and each proof another; each makes all proofs somewhat larger.
    #[arg(long, value_name = "N", default_value_t = 32)]
    openings: u32,
    /// Fewest bits of soundness of proofs about it: 99, or 127, for which proofs are some third longer.
    #[arg(long, value_name = "BITS", default_value = "99", value_parser = engines::level)]
    bits: engines::Level,
    /// Mebibytes of memory that it may take; what takes more, about, is refused before it is begun.
    #[arg(long, value_name = "MIB")]
    memory_max: Option<u64>,
}

impl Register {
    /// Registers, shows that the weights lie in their bounds, checks that, writes both files.
    pub fn run(self, home: &Home, output: Output) -> Result<Report, Failure> {
        let published = self.out.with_extension("sgr");
        if published == self.out {
            return Err(Failure::new("E-USE-02", "the registered model cannot be an .sgr file")
                .hint("sealgrid model register MODEL --out MODEL.sgm"));
        }
        // The registered model may take the place of the model itself, which is not lost by it.
        files::apart(&[&super::file(&self.model, home)], &[&published])?;
        let model = super::load(&self.model, home)?;
        let places = (Place::secret(&self.out)?, Place::open(&published)?);
        let mut progress = output.progress("registering", 2);
        let started = Instant::now();
        if let Some(mebibytes) = self.memory_max {
            engines::registrable_within(&model, self.openings, self.bits, mebibytes.saturating_mul(1 << 20))?;
        }
        let (model, parameters) = engines::register(model, self.openings, self.bits)?;
        let left = openings::spend(home, parameters.root(), self.openings, &published)?;
        let registered = engines::publish(&model, &parameters)?;
        let took = started.elapsed();
        progress.at(1, "checking");
        let started = Instant::now();
        let bits = engines::verify_registration(&registered)?;
        let checked = started.elapsed();
        progress.at(2, "done");
        let bytes = registered.to_bytes();
        files::put(&[(&places.0, &model.to_bytes()), (&places.1, &bytes)])?;
        let mut out = facts();
        out.add_row(["registered model", &format!("{} (secret: it holds the weights)", self.out.display())]);
        out.add_row(["for those who check", &published.display().to_string()]);
        out.add_row(["model", &model.commitment().to_string()]);
        out.add_row(["openings left", &format!("{left}: as many proofs")]);
        out.add_row(["registered in", &duration(took)]);
        out.add_row(["checked in", &duration(checked)]);
        out.add_row(["bytes to publish", &thousands(bytes.len() as u64)]);
        out.add_row(["soundness", &format!("{bits:.1} bits, proven, all steps added up")]);
        out.add_row(["tells", engines::REGISTRATION_TELLS]);
        out.add_row([
            "prove a run",
            &format!("sealgrid prove {} --input DATA --out P.proof", self.out.display()),
        ]);
        let json = serde_json::json!({
            "out": self.out.display().to_string(),
            "published": published.display().to_string(),
            "model": model.commitment().to_string(),
            "openings": self.openings,
            "openings_left": left,
            "bytes": bytes.len(),
            "register_ns": u64::try_from(took.as_nanos()).unwrap_or(u64::MAX),
            "verify_ns": u64::try_from(checked.as_nanos()).unwrap_or(u64::MAX),
            "soundness_bits": bits,
            "tells": engines::REGISTRATION_TELLS,
        });
        Ok(Report::new(out.to_string(), json))
    }
}
