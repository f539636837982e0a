//! The work of a job without the grid: over TCP in the clear, and as one call that the transport encrypts.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sealgrid_graph::execute::{Batch, Prepared};
use sealgrid_graph::tensor::Data;
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
    /// A thread that serves `model` to one caller on loopback, for inputs like `input`, the only one that the model takes.
    ///
    /// # Errors
    /// Of the sockets.
    pub fn start(model: Arc<dyn Prepared>, input: &Batch) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address: SocketAddr = listener.local_addr()?;
        let input = bytes_of(input);
        let length = input.len();
        std::thread::Builder::new().name("plain".to_owned()).spawn(move || {
            let (mut stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            let mut bytes = vec![0; length];
            loop {
                stream.read_exact(&mut bytes)?;
                // Without an output the connection ends, and the caller knows.
                let output = run_plain(model.as_ref(), &bytes).ok_or(io::ErrorKind::InvalidData)?;
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

    /// Asks once; the outputs' bytes.
    ///
    /// # Errors
    /// Of the socket.
    pub fn ask(&mut self) -> io::Result<Vec<u8>> {
        self.stream.write_all(&self.input)?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut output = vec![0; usize::try_from(u32::from_le_bytes(length)).unwrap_or(0)];
        self.stream.read_exact(&mut output)?;
        Ok(output)
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

/// A call that is none of those.
pub(super) const NOT_MEASURABLE: Refusal = Refusal::new("E-NET-17", "not a job that can be measured");

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
        run_plain(self.model.as_ref(), &request.body).ok_or(NOT_MEASURABLE)
    }
}

/// An endpoint that answers [`PlainCall`]s and [`super::SignedCall`]s of anybody: for a process of its own, as a node is.
pub struct PlainServer {
    endpoint: Endpoint,
    service: Arc<PlainService>,
}

impl PlainServer {
    /// Listens on loopback for batches of `model`'s only input. Answers that must outlive a crash are kept in `folder`.
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
    /// Calls with `input`. Call within a tokio runtime.
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

    /// Asks once; the outputs' bytes.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn ask(&self) -> Result<Vec<u8>, CallError> {
        self.call(&PLAIN, self.input.clone()).await
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

/// The model's outputs on the bytes of its first input; `None` when they are none.
fn run_plain(model: &dyn Prepared, bytes: &[u8]) -> Option<Vec<u8>> {
    let input = &model.graph().inputs()[0];
    let elements = Data::from_le_bytes(input.dtype, bytes)?;
    let batch = Batch::new(elements.len() / input.shape.count(), input.shape.clone(), elements).ok()?;
    let outputs = model.run(&[batch], &mut ()).ok()?;
    Some(outputs.iter().flat_map(bytes_of).collect())
}

pub(super) fn bytes_of(batch: &Batch) -> Vec<u8> {
    batch.data().view().le_bytes().into_owned()
}
