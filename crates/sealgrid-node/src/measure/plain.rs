//! The work of a job without the grid: over TCP in the clear, and as one call that the transport encrypts.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sealgrid_graph::execute::{Batch, Prepared};
use sealgrid_graph::tensor::{Data, Shape};
use sealgrid_net::{
    AddressBook, Admission, Admit, BindError, CallError, Endpoint, EndpointConfig, Method, Refusal, Request,
    Service,
};
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};

use super::signed::{SIGNED, SignedService};

/// The same work without any of the grid: the input's bytes over a TCP connection, the model run on them, the output's
/// bytes back. Nothing is hidden, signed, committed to or stored.
pub struct Plain {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Plain {
    /// A thread that serves `model` to one caller on loopback, for inputs like `input`: elements of one byte.
    ///
    /// # Errors
    /// Of the sockets.
    pub fn start(model: Arc<dyn Prepared>, input: &Batch) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address: SocketAddr = listener.local_addr()?;
        let (records, shape, input) = (input.records(), input.shape().clone(), bytes_of(input));
        let length = input.len();
        std::thread::Builder::new().name("plain".to_owned()).spawn(move || {
            let (mut stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            let mut bytes = vec![0; length];
            loop {
                stream.read_exact(&mut bytes)?;
                let output = run_plain(model.as_ref(), records, &shape, &bytes);
                stream.write_all(&u32::try_from(output.len()).unwrap_or(0).to_le_bytes())?;
                stream.write_all(&output)?;
            }
            #[expect(unreachable_code, reason = "says what the question marks yield")]
            Ok::<(), io::Error>(())
        })?;
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, input })
    }

    /// Asks once.
    ///
    /// # Errors
    /// Of the socket.
    pub fn ask(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.input)?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut output = vec![0; usize::try_from(u32::from_le_bytes(length)).unwrap_or(0)];
        self.stream.read_exact(&mut output)
    }
}

/// The same work as one call to another process: encrypted on the way and nothing else, which is what `plain` means. Of a
/// sealed job's time it is the part that the transport, the model and waking another process take.
pub struct PlainCall {
    caller: Endpoint,
    server: PublicIdentity,
    input: Vec<u8>,
}

/// The call's method.
pub(super) const PLAIN: Method = Method {
    id: 1,
    name: "plain",
    request_bytes_max: 64 << 20,
    response_bytes_max: 64 << 20,
    deadline: Duration::from_secs(60),
};

struct PlainService {
    model: Arc<dyn Prepared>,
    signed: Arc<SignedService>,
}

impl Service for PlainService {
    fn methods(&self) -> &'static [Method] {
        &[PLAIN, SIGNED]
    }

    async fn call(&self, request: Request) -> Result<Vec<u8>, Refusal> {
        if request.method.id == SIGNED.id {
            return Arc::clone(&self.signed).answer(request.peer, request.body).await;
        }
        let shape = &self.model.graph().inputs()[0].shape;
        Ok(run_plain(self.model.as_ref(), request.body.len() / shape.count(), shape, &request.body))
    }
}

/// An endpoint that answers [`PlainCall`]s and [`super::SignedCall`]s of anybody: for a process of its own, as a node is.
pub struct PlainServer {
    endpoint: Endpoint,
    service: Arc<PlainService>,
}

impl PlainServer {
    /// Listens on loopback for batches of `model`'s first input, elements of one byte. Answers that must outlive a crash are
    /// kept in `folder`.
    ///
    /// # Errors
    /// Of the socket or the folder.
    pub async fn start(model: Arc<dyn Prepared>, folder: &Path) -> io::Result<Self> {
        let config = EndpointConfig { admission: Admission::new(Admit::Anyone), ..EndpointConfig::default() };
        let identity = SigningIdentity::generate(&mut rand::rng());
        let endpoint = Box::pin(Endpoint::bind(&identity, config)).await.map_err(io::Error::other)?;
        let signed = SignedService::new(Arc::clone(&model), identity, folder).map_err(io::Error::other)?;
        Ok(Self { endpoint, service: Arc::new(PlainService { model, signed: Arc::new(signed) }) })
    }

    /// Who it is, and where.
    #[must_use]
    pub fn address(&self) -> (PublicIdentity, Vec<SocketAddr>) {
        (self.endpoint.identity(), self.endpoint.addresses())
    }

    /// Answers for ever.
    pub async fn serve(self) {
        self.endpoint.serve(self.service).await;
    }
}

impl PlainCall {
    /// Calls with `input`, elements of one byte. Call within a tokio runtime.
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn to(
        (server, addresses): (PublicIdentity, Vec<SocketAddr>),
        input: &Batch,
    ) -> Result<Self, BindError> {
        let peers = AddressBook::default();
        peers.set(server, addresses);
        let config = EndpointConfig { peers, ..EndpointConfig::default() };
        let identity = SigningIdentity::generate(&mut rand::rng());
        let caller = Box::pin(Endpoint::bind(&identity, config)).await?;
        Ok(Self { caller, server, input: bytes_of(input) })
    }

    /// Asks once.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn ask(&self) -> Result<(), CallError> {
        self.call(&PLAIN, self.input.clone()).await.map(drop)
    }

    /// Who answers.
    pub(super) fn server(&self) -> PublicIdentity {
        self.server
    }

    /// Another of the process's methods.
    pub(super) async fn call(&self, method: &Method, body: Vec<u8>) -> Result<Vec<u8>, CallError> {
        self.caller.call(&self.server, method, body).await
    }

    /// Closes the connection.
    pub async fn close(&self) {
        self.caller.close().await;
    }
}

fn run_plain(model: &dyn Prepared, records: usize, shape: &Shape, bytes: &[u8]) -> Vec<u8> {
    let elements = bytes.iter().map(|byte| i8::from_le_bytes([*byte])).collect();
    let Ok(batch) = Batch::new(records, shape.clone(), Data::I8(elements)) else { return Vec::new() };
    let outputs = model.run(&[batch], &mut ()).unwrap_or_default();
    outputs.iter().flat_map(bytes_of).collect()
}

pub(super) fn bytes_of(batch: &Batch) -> Vec<u8> {
    match batch.data() {
        Data::I8(elements) => elements.iter().flat_map(|element| element.to_le_bytes()).collect(),
        Data::I16(elements) => elements.iter().flat_map(|element| element.to_le_bytes()).collect(),
        Data::I32(elements) => elements.iter().flat_map(|element| element.to_le_bytes()).collect(),
    }
}
