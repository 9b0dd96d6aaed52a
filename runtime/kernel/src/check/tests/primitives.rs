//! Primitives to check against: they have the shape of the real ones, and do nothing.

use ccrun_macros::{Object, Options, primitive, primitives};
use rhai::FnPtr;

use crate::error::Result;
use crate::primitive::MaybeSecret;
use crate::registry::Namespace;
use crate::value::{Duration, Size};

/// A container.
#[derive(Clone, Object)]
pub struct Container {
    name: String,
}

/// How to restart.
#[derive(Options)]
pub struct RestartOptions {
    /// How long to wait until it runs again.
    #[option(default = "30s")]
    timeout: Duration,
    /// The signal to send.
    signal: Option<String>,
}

/// How to pull.
#[derive(Options)]
pub struct PullOptions {
    /// Which one.
    tag: String,
    /// The most memory for it.
    memory: Option<Size>,
    /// Several at once.
    layers: Option<Vec<i64>>,
}

/// A container by its name.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// docker::container("db");
/// ```
#[primitive(read, needs = docker(name))]
async fn container(name: String) -> Result<Container> {
    Ok(Container { name })
}

/// All containers.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// docker::containers();
/// ```
#[primitive(read, needs = docker("*"))]
async fn containers() -> Result<Vec<Container>> {
    Ok(Vec::new())
}

/// Fetch an image.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// docker::pull("web", #{ tag: "1" });
/// ```
#[primitive(change, needs = docker(image))]
async fn pull(image: String, options: PullOptions) -> Result<()> {
    drop((image, options.tag, options.memory, options.layers));
    Ok(())
}

impl Container {
    /// Restart it.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai
    /// docker::container("db").restart();
    /// ```
    #[primitive(change, needs = docker(self.name))]
    async fn restart(&self, options: RestartOptions) -> Result<()> {
        drop((options.timeout, options.signal));
        Ok(())
    }

    /// Remove it.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai
    /// docker::container("db").remove();
    /// ```
    #[primitive(change, needs = docker(self.name))]
    async fn remove(&self) -> Result<()> {
        Ok(())
    }

    /// Its output, line by line.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai
    /// docker::container("db").each_line(|line| print(line));
    /// ```
    #[primitive(read, needs = docker(self.name))]
    async fn each_line(&self, action: FnPtr) -> Result<()> {
        drop(action);
        Ok(())
    }

    /// Its image.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai
    /// docker::container("db").image;
    /// ```
    #[primitive(pure, get)]
    fn image(&self) -> String {
        self.name.clone()
    }

    /// Its name.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai
    /// docker::container("db").name;
    /// ```
    #[primitive(pure, get)]
    fn name(&self) -> String {
        self.name.clone()
    }
}

/// Write a file.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// fs::write("a", "b");
/// ```
#[primitive(change, needs = fs(path))]
async fn write(path: String, text: String) -> Result<()> {
    drop((path, text));
    Ok(())
}

/// Read a file.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// fs::read("a");
/// ```
#[primitive(read, needs = fs(path))]
async fn read(path: String) -> Result<String> {
    Ok(path)
}

/// Get a page.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// http::get("https://example.org");
/// ```
#[primitive(read, needs = http(url))]
async fn get(url: String) -> Result<String> {
    Ok(url)
}

/// Sign in.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// http::login("root", ask("Password?", #{ secret: true }));
/// ```
#[primitive(change, needs = http(user))]
async fn login(user: String, password: MaybeSecret) -> Result<()> {
    drop((user, password));
    Ok(())
}

/// The namespaces of these primitives.
pub fn namespaces() -> Vec<Namespace> {
    vec![
        Namespace::new("docker", "Containers.")
            .object::<Container>()
            .primitives(primitives![
                container,
                containers,
                pull,
                Container::restart,
                Container::remove,
                Container::each_line,
                Container::image,
                Container::name,
            ]),
        Namespace::new("fs", "Files.").primitives(primitives![write, read]),
        Namespace::new("http", "Requests.").primitives(primitives![get, login]),
    ]
}
