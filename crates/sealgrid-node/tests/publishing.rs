//! Models published to real nodes: taken whole from whom the node takes them, or not at all, each refusal with its code.

mod common;

use common::*;
use sealgrid_graph::arbitrary::card;
use sealgrid_graph::integer::{Builder, Primitive, Requantise, ValueType};
use sealgrid_graph::model::Model;
use sealgrid_graph::tensor::{DType, Data, Shape, Tensor};
use sealgrid_node::api::{self, Part};
use sealgrid_node::client::{ClientError, GridClient};
use sealgrid_node::config::{Anyone, Clients};
use sealgrid_node::directory::Loaded;
use sealgrid_node::jobs::now;
use sealgrid_protocol::names::Verification;
use sealgrid_protocol::publication::Publication;
use sealgrid_seal::canonical;
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};

/// A model of one layer whose file has about `kib` KiB.
fn model_of(kib: usize, seed: u8) -> Model {
    let shape = |axes: &[usize]| Shape::new(axes).expect("small");
    let input = ValueType { dtype: DType::I8, shape: shape(&[1024]) };
    let mut graph = Builder::new(vec![input]);
    let value = graph.input(0);
    let weights: Vec<i8> = (0..kib * 1024)
        .map(|at| i8::try_from((at * 31 + usize::from(seed)) % 15).expect("small") - 7)
        .collect();
    let weight = graph.parameter(Tensor::new(shape(&[kib, 1024]), Data::I8(weights)).expect("fits"));
    let bias = graph.parameter(Tensor::new(shape(&[kib]), Data::I32(vec![0; kib])).expect("fits"));
    let requantise =
        Requantise { multipliers: vec![1], shifts: vec![12], low: -128, high: 127, output: DType::I8 };
    let linear = Primitive::Linear { weight, bias, requantise };
    let value = graph.push("scores", linear, &[value]).expect("valid");
    let graph = graph.finish(vec![value]).expect("valid");
    let card = card(&format!("published-{seed}"), &graph);
    Model::new(card, graph, &mut rand::rng()).expect("a valid model")
}

/// A model, its file, and what its owner signed.
struct Offer {
    model: Model,
    file: Vec<u8>,
    publication: Publication,
    statement: Vec<u8>,
}

impl Offer {
    fn of(model: Model, owner: &SigningIdentity) -> Self {
        let file = model.to_bytes();
        let publication = Publication::of(authority().public(), model.commitment(), &file, now());
        let statement = publication.sign(owner);
        Self { model, file, publication, statement }
    }

    async fn to(&self, client: &GridClient, node: &PublicIdentity) -> Result<bool, ClientError> {
        client.publish(node, &self.statement, &self.publication, &self.file, &mut |_| {}).await
    }

    /// Announces it and sends its first part.
    async fn begin(&self, client: &GridClient, node: &PublicIdentity) {
        client.call(node, &api::PUBLISH, self.statement.clone(), "a place").await.expect("taken");
        let bytes = self.file[..1000].to_vec();
        let part = Part { file: self.publication.file, offset: 0, bytes };
        client.call(node, &api::PUBLISH_PART, canonical::encode(&part), "a part").await.expect("taken");
    }
}

fn code(result: Result<bool, ClientError>) -> String {
    result.expect_err("refused").code().to_owned()
}

/// Nothing of a refused model is left: neither among the models nor on its way.
async fn nothing_is_left(grid: &Grid, client: &GridClient, models: usize) {
    let data = load(&grid.files.configs[1]);
    let files = |folder: &std::path::Path| std::fs::read_dir(folder).expect("there").count();
    assert_eq!(files(&data.models), models);
    assert_eq!(files(&data.data.join("incoming")), 0);
    let described = client.describe().await;
    assert_eq!(described[&grid.nodes[1].identity].models.len(), models);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_published_model_runs_once_the_directory_names_it_without_a_restart() {
    let grid = Grid::start(4, &[]);
    let client = grid.client(1).await;
    let offer = Offer::of(model_of(3 * 1024, 1), &authority());
    for node in &grid.nodes {
        assert!(!offer.to(&client, &node.identity).await.expect("taken"));
        assert!(offer.to(&client, &node.identity).await.expect("taken"), "it has it already");
    }
    let mut directory = (**client.grid().directory).clone();
    directory.issued = now().max(directory.issued + 1);
    directory.nodes.iter_mut().for_each(|node| node.models.push(offer.model.commitment()));
    let signed = directory.sign(&authority()).expect("signs").encode();
    for node in &grid.nodes {
        client.offer_directory(&node.identity, signed.clone()).await.expect("taken");
    }
    let older = client.grid().bytes.to_vec();
    let refused = client.offer_directory(&grid.nodes[1].identity, older).await.expect_err("older");
    assert_eq!(refused.code(), "E-VER-22");

    let loaded = Loaded::from_bytes(signed, &authority().public()).expect("verifies");
    let digest = loaded.directory.digest();
    let client = GridClient::open(person(3), loaded, Default::default()).await.expect("opens");
    while !client.describe().await.values().all(|is| is.directory == digest) {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let inputs = vec![
        sealgrid_graph::execute::Batch::new(2, Shape::new(&[1024]).expect("small"), Data::I8(vec![3; 2048]))
            .expect("fits"),
    ];
    let mut job = grid.job(Verification::Quorum { members: 3 }, 1);
    (job.model, job.inputs) = (offer.model.commitment(), inputs.clone());
    job.policy.limits.deadline_ms = 30_000;
    let outcome = client.run(job, &mut quiet()).await.expect("accepted");
    assert_eq!(outcome.outputs, expected(&offer.model, &inputs));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_signed_by_an_owner_for_this_grid_is_refused_before_a_byte_is_taken() {
    let grid = Grid::start(2, &[]);
    let (client, node) = (grid.client(1).await, grid.nodes[1].identity);
    let stranger = Offer::of(model_of(4, 1), &person(1));
    assert_eq!(code(stranger.to(&client, &node).await), "E-KEY-41");

    let mut altered = Offer::of(model_of(4, 2), &authority());
    let last = altered.statement.len() - 1;
    altered.statement[last] ^= 1;
    assert_eq!(code(altered.to(&client, &node).await), "E-VER-20");

    let mut elsewhere = Offer::of(model_of(4, 3), &authority());
    elsewhere.publication.authority = person(9).public();
    elsewhere.statement = elsewhere.publication.sign(&authority());
    assert_eq!(code(elsewhere.to(&client, &node).await), "E-VER-20");

    let part = Part { file: stranger.publication.file, offset: 0, bytes: vec![1] };
    let unannounced = client.call(&node, &api::PUBLISH_PART, canonical::encode(&part), "a part").await;
    assert_eq!(unannounced.expect_err("not announced").code(), "E-AVL-28");
    nothing_is_left(&grid, &client, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_must_be_what_was_signed_and_be_a_model() {
    let grid = Grid::start(2, &[]);
    let (client, node) = (grid.client(1).await, grid.nodes[1].identity);
    let mut swapped = Offer::of(model_of(4, 1), &authority());
    let middle = swapped.file.len() / 2;
    swapped.file[middle] ^= 1;
    assert_eq!(code(swapped.to(&client, &node).await), "E-VER-21");

    let mut renamed = Offer::of(model_of(4, 2), &authority());
    renamed.publication.model = model_of(4, 3).commitment();
    renamed.statement = renamed.publication.sign(&authority());
    assert_eq!(code(renamed.to(&client, &node).await), "E-VER-21");

    let mut nonsense = Offer::of(model_of(4, 4), &authority());
    nonsense.file = b"not a model".to_vec();
    nonsense.publication =
        Publication::of(authority().public(), nonsense.model.commitment(), &nonsense.file, now());
    nonsense.statement = nonsense.publication.sign(&authority());
    assert_eq!(code(nonsense.to(&client, &node).await), "E-VER-21");
    nothing_is_left(&grid, &client, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_and_a_full_quota_have_their_codes_and_leave_nothing() {
    let mut grid = Grid::start(2, &[]);
    let (client, node) = (grid.client(1).await, grid.nodes[1].identity);
    let offer = Offer::of(model_of(8, 1), &authority());
    // The kernel's own full disk, where the part would be written.
    let incoming = load(&grid.files.configs[1]).data.join("incoming");
    let part = incoming.join(format!("{}.part", offer.publication.file));
    std::os::unix::fs::symlink("/dev/full", &part).expect("linked");
    assert_eq!(code(offer.to(&client, &node).await), "E-STO-50");
    nothing_is_left(&grid, &client, 1).await;
    assert!(!offer.to(&client, &node).await.expect("there is room again"));

    let large = Offer::of(model_of(2 * 1024, 2), &authority());
    reconfigure(&mut grid, 1, |config| config.publishing.disk_mib_max = 1).await;
    assert_eq!(retried(&large, &client, &node).await, "E-RES-24");
    nothing_is_left(&grid, &client, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_that_breaks_off_goes_on_where_it_stopped_and_a_killed_node_keeps_none_of_it() {
    let mut grid = Grid::start(2, &[]);
    let (client, node) = (grid.client(1).await, grid.nodes[1].identity);
    let offer = Offer::of(model_of(64, 1), &authority());
    offer.begin(&client, &node).await;
    let mut held = Vec::new();
    let had = client
        .publish(&node, &offer.statement, &offer.publication, &offer.file, &mut |sent| held.push(sent))
        .await
        .expect("taken");
    assert!(!had);
    assert_eq!(held, [1000], "what had arrived is not sent again");

    let other = Offer::of(model_of(64, 2), &authority());
    other.begin(&client, &node).await;
    let incoming = load(&grid.files.configs[1]).data.join("incoming");
    assert_eq!(std::fs::read_dir(&incoming).expect("there").count(), 1);
    reconfigure(&mut grid, 1, |config| config.publishing.owners = Clients::Anyone(Anyone::Anyone)).await;
    let described = loop {
        if let Some(is) = client.describe().await.remove(&node) {
            break is;
        }
    };
    assert_eq!(described.models.len(), 2, "the finished one, and nothing of the other");
    assert_eq!(std::fs::read_dir(&incoming).expect("there").count(), 0);
    // Now anyone may publish, as configured.
    assert!(!Offer::of(model_of(4, 3), &person(5)).to(&client, &node).await.expect("taken"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_so_many_models_are_on_their_way_at_once() {
    let grid = Grid::start(2, &[]);
    let (client, node) = (grid.client(1).await, grid.nodes[1].identity);
    for seed in 0..4 {
        Offer::of(model_of(4, seed), &authority()).begin(&client, &node).await;
    }
    assert_eq!(code(Offer::of(model_of(4, 9), &authority()).to(&client, &node).await), "E-RES-25");
}

/// Ends a node like a crash and starts it again with another configuration.
async fn reconfigure(
    grid: &mut Grid,
    place: usize,
    change: impl FnOnce(&mut sealgrid_node::config::NodeConfig),
) {
    let mut config = load(&grid.files.configs[place]);
    change(&mut config);
    restart(grid, place, config).await;
}

/// Publishes until the node, just started again, answers.
async fn retried(offer: &Offer, client: &GridClient, node: &PublicIdentity) -> String {
    loop {
        match offer.to(client, node).await {
            Err(error) if error.code().starts_with("E-NET") => {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            other => return code(other),
        }
    }
}
