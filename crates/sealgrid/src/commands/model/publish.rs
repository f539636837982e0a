//! `sealgrid model publish`: an owner's model to the nodes of a grid, and into the grid's directory.
//!
//! The owner signs what is sent (model, length, digest, for which grid); every node checks that before it takes a byte and
//! again before it keeps one. The authority then signs the directory anew, so that it names the model at the nodes that
//! hold it, and the nodes take the new directory without being started again.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sealgrid_graph::model::{Model, ModelCommitment};
use sealgrid_node::client::ClientError;
use sealgrid_node::folder::write_durably;
use sealgrid_protocol::directory::Directory;
use sealgrid_protocol::publication::Publication;
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};

use super::load;
use crate::asking::{self, Asking};
use crate::commands::key;
use crate::failure::{Failure, unwritable};
use crate::home::Home;
use crate::local_grid::{self, LocalGrid};
use crate::output::{Output, Report, table};
use crate::{engines, openings};

/// Give a model to the nodes of a grid, and have the grid's directory name it. The nodes need not be started again.
#[derive(Debug, clap::Args)]
pub struct Publish {
    /// Model file, or the name of an imported model.
    model: PathBuf,
    /// The grid's folder [default: the home's].
    #[arg(long, value_name = "DIR")]
    grid: Option<PathBuf>,
    /// Folder of the trust roots [default: the grid's, else the home's].
    #[arg(long, value_name = "DIR")]
    roots: Option<PathBuf>,
    /// Your key that signs the model [default: the authority's].
    #[arg(long, value_name = "KEY")]
    owner: Option<String>,
    /// Your key that signs the directory [default: the one in the grid's folder].
    #[arg(long, value_name = "KEY")]
    authority: Option<String>,
    /// File whose first line opens your keys; otherwise $SEALGRID_PASSPHRASE, otherwise you are asked.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// How long nodes may take to put a new directory in force.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(20);

/// What one node made of it.
struct Told {
    node: PublicIdentity,
    name: String,
    outcome: Result<bool, ClientError>,
}

impl Publish {
    /// Publishes; exit status of the first refusal when a node did not take it.
    pub fn run(self, home: &Home, output: Output) -> Result<Report, Failure> {
        let model = load(&self.model, home)?;
        let grid = local_grid::existing(self.grid.clone(), home)?;
        let trust = asking::trust_roots(self.roots.as_deref(), &grid, home)?;
        let authority = self.authority_key(&grid, home)?;
        if authority.public() != trust.authority {
            return Err(Failure::new("E-KEY-97", "the key is not that of the grid's authority")
                .why("only the authority signs which node serves what")
                .hint("name the authority's key with --authority KEY"));
        }
        let owner = match &self.owner {
            Some(name) => key::signing(home, name, self.passphrase_file.as_deref())?,
            None => authority.duplicate(),
        };
        let asking = Asking::open(&grid, trust, owner.duplicate())?;
        let file = model.to_bytes();
        // Openings that are given to nodes do not come back: nobody is given any where nobody is.
        if asking.describe().is_empty() {
            return Err(Failure::new("E-AVL-25", "no node of the grid answers")
                .why("nothing was sent, and no opening was given away")
                .hint(format!("sealgrid up --dir {}", grid.path().display())));
        }
        let openings = shared_out(&model, &asking, &grid, home)?;
        let publication = Publication::of(authority.public(), model.commitment(), &file, crate::now());
        let publication = Publication { openings, ..publication };
        let statement = publication.sign(&owner);
        let told = distribute(&asking, &statement, &publication, &file, output);
        let holders: Vec<PublicIdentity> =
            told.iter().filter(|told| told.outcome.is_ok()).map(|told| told.node).collect();
        if holders.is_empty() {
            let first = told.into_iter().find_map(|told| told.outcome.err().map(|error| (told.name, error)));
            let (name, error) = first.ok_or_else(|| Failure::new("E-AVL-25", "the grid has no nodes"))?;
            let failure = asking::failed(&error);
            let said = failure.why.as_deref().unwrap_or("no more");
            let why = format!("no node took the model; this is what {name} said: {said}");
            return Err(failure.clone().why(why).hint("sealgrid doctor"));
        }
        let signed = name_model(asking.directory(), &holders, model.commitment(), &authority)?;
        write_durably(&grid.directory(), &signed).map_err(|error| unwritable(&grid.directory(), &error))?;
        for node in asking.directory().nodes.iter().map(|node| node.identity) {
            // a node that is down reads the file, or is told the next time
            let _absent = asking.offer_directory(&node, signed.clone());
        }
        let in_force = await_directory(&asking, &grid, &holders)?;
        asking.close();
        Ok(report(&model, &owner, &told, in_force, openings))
    }

    fn authority_key(&self, grid: &LocalGrid, home: &Home) -> Result<SigningIdentity, Failure> {
        match &self.authority {
            Some(name) => key::signing(home, name, self.passphrase_file.as_deref()),
            None if grid.has_authority() => grid.authority(),
            None => {
                Err(Failure::new("E-KEY-95", format!("{} holds no authority's key", grid.path().display()))
                    .hint("name your key of the authority with --authority KEY"))
            }
        }
    }
}

/// Gives the openings of a registered model that are left to the nodes that do not serve it yet; yields each node's share.
fn shared_out(model: &Model, asking: &Asking, grid: &LocalGrid, home: &Home) -> Result<Option<u32>, Failure> {
    let Some(registration) = model.registration() else { return Ok(None) };
    let commitment = model.commitment();
    let new = asking.directory().nodes.iter().filter(|node| !node.serves(&commitment)).count();
    let Some(nodes) = u32::try_from(new).ok().filter(|nodes| *nodes > 0) else { return Ok(None) };
    let root = engines::parameters(model)?.root();
    openings::share_out(home, root, registration.openings, nodes, grid.path()).map(Some)
}

fn distribute(
    asking: &Asking,
    statement: &[u8],
    publication: &Publication,
    file: &[u8],
    output: Output,
) -> Vec<Told> {
    let nodes: Vec<PublicIdentity> = asking.directory().nodes.iter().map(|node| node.identity).collect();
    let mut bar = output.progress("publishing", nodes.len() as u64 * publication.length);
    let mut told = Vec::new();
    for (at, node) in nodes.into_iter().enumerate() {
        let name = asking.node_name(&node);
        let before = at as u64 * publication.length;
        let outcome = asking
            .publish(&node, statement, publication, file, &mut |sent| bar.at(before + sent, name.clone()));
        told.push(Told { node, name, outcome });
    }
    told
}

/// The directory with the model at `holders`, signed anew, later than the one before.
fn name_model(
    directory: &Directory,
    holders: &[PublicIdentity],
    model: ModelCommitment,
    authority: &SigningIdentity,
) -> Result<Vec<u8>, Failure> {
    let mut directory = directory.clone();
    directory.issued = crate::now().max(directory.issued + 1);
    for node in directory.nodes.iter_mut().filter(|node| holders.contains(&node.identity)) {
        if !node.models.contains(&model) {
            node.models.push(model);
        }
    }
    let signed = directory
        .sign(authority)
        .map_err(|error| Failure::new(error.code(), "the directory cannot name the model").why(error))?;
    Ok(signed.encode())
}

/// Waits until the holders that answer go by the new directory; how many do.
fn await_directory(asking: &Asking, grid: &LocalGrid, holders: &[PublicIdentity]) -> Result<usize, Failure> {
    let loaded =
        sealgrid_node::directory::Loaded::from_file(&grid.directory(), &asking.directory().authority)
            .map_err(|error| Failure::new(error.code(), "the new directory does not hold").why(error))?;
    let digest = loaded.directory.digest();
    let started = Instant::now();
    loop {
        let described = asking.describe();
        let answering = described.keys().filter(|node| holders.contains(node)).count();
        let following = |(node, is): &(&PublicIdentity, &sealgrid_node::api::Description)| {
            holders.contains(node) && is.directory == digest
        };
        let following = described.iter().filter(following).count();
        if following == answering || started.elapsed() > IN_FORCE_WITHIN {
            return Ok(following);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn report(
    model: &Model,
    owner: &SigningIdentity,
    told: &[Told],
    in_force: usize,
    openings: Option<u32>,
) -> Report {
    let mut out = table(["node", "model"]);
    let mut rows = Vec::new();
    let mut exit = 0;
    for told in told {
        let (word, code) = match &told.outcome {
            Ok(true) => ("had it already".to_owned(), None),
            Ok(false) => ("stored, checked, served".to_owned(), None),
            Err(error) => {
                let failure = asking::failed(error);
                if exit == 0 {
                    exit = failure.exit_status();
                }
                (format!("{} {}", failure.code, failure.what), Some(failure.code))
            }
        };
        out.add_row([told.name.clone(), word]);
        rows.push(serde_json::json!({ "node": told.node.to_string(), "held": code.is_none(), "code": code }));
    }
    let card = model.card();
    // Publishing its registration takes one of a node's own.
    let proofs = openings.map_or_else(String::new, |openings| {
        format!("\neach node that is new may make {} proofs", openings.saturating_sub(1))
    });
    let text = format!(
        "{out}\n{} {} is in the grid's directory at {} nodes; {in_force} go by it already{proofs}\nrun it: sealgrid run {} --input DATA.csv",
        card.name,
        model.commitment(),
        told.iter().filter(|told| told.outcome.is_ok()).count(),
        card.name,
    );
    let json = serde_json::json!({
        "model": card.name, "commitment": model.commitment().to_string(), "owner": owner.public().to_string(),
        "nodes": rows, "in_force": in_force, "openings_each": openings,
    });
    Report::new(text, json).exit(exit)
}

/// What the nodes of a grid say they hold, and whether the directory names it.
pub fn held(grid: PathBuf, roots: Option<&Path>, home: &Home) -> Result<Report, Failure> {
    let grid = local_grid::existing(Some(grid), home)?;
    let trust = asking::trust_roots(roots, &grid, home)?;
    let asking = Asking::open(&grid, trust, SigningIdentity::generate(&mut crate::entropy()))?;
    let described = asking.describe();
    let mut out = table(["model", "commitment", "nodes", "in the directory"]);
    let mut models: std::collections::BTreeMap<ModelCommitment, (usize, usize)> = Default::default();
    for node in &asking.directory().nodes {
        for model in &node.models {
            models.entry(*model).or_default().1 += 1;
        }
        for model in described.get(&node.identity).map(|is| is.models.as_slice()).unwrap_or_default() {
            models.entry(*model).or_default().0 += 1;
        }
    }
    let mut rows = Vec::new();
    for (commitment, (holding, listed)) in models {
        // the name is on the public card, which only nodes of the directory are asked for
        let name = asking
            .fetched(commitment)
            .map_or_else(|_| "?".to_owned(), |found| found.public.card.name.clone());
        out.add_row([name.clone(), commitment.to_string(), holding.to_string(), listed.to_string()]);
        rows.push(serde_json::json!({
            "name": name, "commitment": commitment.to_string(), "nodes": holding, "in_directory": listed,
        }));
    }
    let (answering, nodes) = (described.len(), asking.directory().nodes.len());
    asking.close();
    let text = if rows.is_empty() {
        "the nodes hold no model; try: sealgrid model publish MODEL.sgm".to_owned()
    } else {
        format!("{out}\n{answering} of {nodes} nodes answered")
    };
    Ok(Report::new(text, serde_json::json!({ "models": rows, "answering": answering, "nodes": nodes })))
}
