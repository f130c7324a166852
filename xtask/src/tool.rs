//! The tools that the steps need: found, installed where possible, else named with the command that
//! installs them.

use std::fmt;
use std::sync::OnceLock;

use anyhow::Result;

use crate::cmd::Cmd;

/// A tool that could not be found or installed.
#[derive(Debug)]
pub(crate) struct Missing {
    name: &'static str,
    hint: String,
}

impl Missing {
    pub(crate) fn new(name: &'static str, hint: impl Into<String>) -> Self {
        Self { name, hint: hint.into() }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is missing; install it with: {}", self.name, self.hint)
    }
}

impl std::error::Error for Missing {}

/// A program, how to see that it is there, and how to get it.
pub(crate) struct Tool {
    name: &'static str,
    probe: &'static [&'static str],
    install: Install,
}

enum Install {
    /// Packages of a Debian-like system; other systems have them under like names.
    Apt(&'static str),
    /// The arguments of `cargo install`.
    Cargo(&'static str),
    /// The arguments of `rustup component add`.
    Component(&'static str),
}

pub(crate) const CC: Tool =
    Tool { name: "cc", probe: &["cc", "--version"], install: Install::Apt("gcc libc6-dev") };
pub(crate) const CXX: Tool =
    Tool { name: "c++", probe: &["c++", "--version"], install: Install::Apt("g++") };
pub(crate) const CLANG: Tool =
    Tool { name: "clang", probe: &["clang++", "--version"], install: Install::Apt("clang") };
pub(crate) const GO: Tool =
    Tool { name: "go", probe: &["go", "version"], install: Install::Apt("golang-go") };
pub(crate) const VALGRIND: Tool =
    Tool { name: "valgrind", probe: &["valgrind", "--version"], install: Install::Apt("valgrind") };
pub(crate) const REDIS_SERVER: Tool = Tool {
    name: "redis-server",
    probe: &["/usr/bin/redis-server", "--version"],
    install: Install::Apt("redis-server"),
};
pub(crate) const NATS_SERVER: Tool = Tool {
    name: "nats-server",
    probe: &["/usr/sbin/nats-server", "--version"],
    install: Install::Apt("nats-server"),
};
pub(crate) const TIMEOUT: Tool =
    Tool { name: "timeout", probe: &["timeout", "--version"], install: Install::Apt("coreutils") };
pub(crate) const CARGO_FUZZ: Tool = Tool {
    name: "cargo-fuzz",
    probe: &["cargo", "fuzz", "--version"],
    install: Install::Cargo("cargo-fuzz@0.13.2 --locked"),
};
pub(crate) const CARGO_HACK: Tool = Tool {
    name: "cargo-hack",
    probe: &["cargo", "hack", "--version"],
    install: Install::Cargo("cargo-hack --locked"),
};
pub(crate) const CARGO_MUTANTS: Tool = Tool {
    name: "cargo-mutants",
    probe: &["cargo", "mutants", "--version"],
    install: Install::Cargo("cargo-mutants --locked"),
};
pub(crate) const RUSTFMT: Tool = Tool {
    name: "rustfmt",
    probe: &["cargo", "fmt", "--version"],
    install: Install::Component("rustfmt"),
};
pub(crate) const CLIPPY: Tool = Tool {
    name: "clippy",
    probe: &["cargo", "clippy", "--version"],
    install: Install::Component("clippy"),
};

/// Makes sure that every one of `tools` is there.
pub(crate) fn need(tools: &[&Tool]) -> Result<()> {
    for tool in tools {
        let there = tool.found() || (tool.try_install() && tool.found());
        if !there {
            return Err(Missing::new(tool.name, tool.hint()).into());
        }
    }
    Ok(())
}

/// Makes sure that a server is there, unless `env` says which one to take.
pub(crate) fn need_server(server: &Tool, env: &str) -> Result<()> {
    if std::env::var_os(env).is_some() { Ok(()) } else { need(&[server]) }
}

impl Tool {
    pub(crate) fn found(&self) -> bool {
        Cmd::new(self.probe[0]).args(&self.probe[1..]).succeeds()
    }

    fn hint(&self) -> String {
        match self.install {
            Install::Apt(packages) => format!("apt-get update && apt-get install -y {packages}"),
            Install::Cargo(args) => format!("cargo install {args}"),
            Install::Component(component) => format!("rustup component add {component}"),
        }
    }

    fn try_install(&self) -> bool {
        let result = match self.install {
            Install::Apt(packages) if apt_ready() => apt(&format!("install -y {packages}")).run(),
            Install::Apt(_) => return false,
            Install::Cargo(args) => Cmd::cargo("install").words(args).run(),
            Install::Component(component) => {
                Cmd::new("rustup").args(["component", "add", component]).run()
            }
        };
        result.inspect_err(|error| println!("{error:#}")).is_ok()
    }
}

fn apt(line: &str) -> Cmd {
    Cmd::new("apt-get").words(line).env("DEBIAN_FRONTEND", "noninteractive")
}

/// Whether apt-get may be used here: it exists, this is root, and its lists were brought up to date
/// (once).
fn apt_ready() -> bool {
    static READY: OnceLock<bool> = OnceLock::new();
    *READY.get_or_init(|| {
        let root = Cmd::new("id").arg("-u").read().is_ok_and(|id| id.trim() == "0");
        root && apt("--version").succeeds() && apt("update").run().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_is_named_with_its_install_command() {
        const ABSENT: Tool = Tool {
            name: "docache-absent",
            probe: &["docache-absent-tool"],
            install: Install::Component("docache-absent"),
        };
        assert!(!ABSENT.found());
        let text = Missing::new(ABSENT.name, ABSENT.hint()).to_string();
        assert_eq!(
            text,
            "docache-absent is missing; install it with: rustup component add docache-absent"
        );
    }
}
