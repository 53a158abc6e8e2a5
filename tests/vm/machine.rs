//! A virtual vehicle: QEMU with a stock kernel, commanded from here.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use waywarden_components::prelude::Mono;

use super::serial_line::{Line, SerialLine};

/// The longest that anything is waited for: emulated, and on a machine that has other work, all is slow.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// What machines boot from.
pub struct Image(PathBuf);

impl Image {
    /// Makes it, with the program under test inside. None where this machine cannot have one; that is printed.
    pub fn make() -> Option<Self> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vehicle-vm");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm/image");
        let output = Command::new(script).arg(&folder).arg(env!("CARGO_BIN_EXE_waywarden")).output();
        let output = match output {
            Ok(output) => output,
            Err(error) => {
                println!("skipped: the virtual vehicle ({error})");
                return None;
            }
        };
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(77) {
            println!("skipped: {}", said.trim());
            return None;
        }
        assert!(output.status.success(), "tests/vm/image: {}\n{said}", output.status);
        Some(Self(folder))
    }
}

/// A machine that runs. It is switched off when dropped.
pub struct Machine {
    qemu: Child,
    /// Where commands go, and their answers come from.
    agent: BufReader<UnixStream>,
    /// QEMU's own ear (QMP).
    monitor: BufReader<UnixStream>,
    commands: u32,
    /// What it shares with this machine: `/host` in there.
    share: PathBuf,
    /// The receiver's line.
    pub gps: SerialLine,
    /// The range sensor's line.
    pub range: SerialLine,
}

impl Machine {
    /// Boots one with `disks` (files; the first is `/dev/vda`), and waits until it takes commands. `folder` gets what it
    /// shares, its sockets and what its kernel says.
    pub fn boot(image: &Image, folder: &Path, disks: &[&Path]) -> Self {
        let share = folder.join("share");
        fs::create_dir_all(share.join("out")).unwrap();
        let mut qemu = Command::new("qemu-system-x86_64");
        // TCG and nothing else: /dev/kvm may be there and still not run an ordinary kernel.
        qemu.args(["-M", "pc", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max", "-smp", "2", "-m", "1536"]);
        qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        qemu.arg("-kernel").arg(image.0.join("vmlinuz")).arg("-initrd").arg(image.0.join("initrd"));
        qemu.args(["-append", "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off tsc=reliable"]);
        qemu.args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
        qemu.args(["-chardev", "socket,id=monitor,path=monitor,server=on,wait=off", "-mon", "monitor,mode=control"]);
        qemu.args(["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent"]);
        qemu.args(["-chardev", "socket,id=agent,path=agent,server=on,wait=off"]);
        qemu.args(["-device", "qemu-xhci,id=usb"]);
        for (line, port) in [("gps", 1), ("range", 2)] {
            qemu.args(["-chardev", &format!("socket,id={line},path={line},server=on,wait=off")]);
            qemu.args([
                "-device",
                &format!("usb-serial,chardev={line},id={line}-usb,bus=usb.0,port={port},always-plugged=on"),
            ]);
        }
        for disk in disks {
            qemu.args(["-drive", &format!("file={},format=raw,if=virtio,cache=writeback", disk.display())]);
        }
        qemu.arg("-fsdev").arg("local,id=share,path=share,security_model=none,multidevs=remap");
        qemu.args(["-device", "virtio-9p-pci,fsdev=share,mount_tag=host"]);
        let console = File::create(folder.join("console")).unwrap();
        // In its folder, because the path of a socket must be short.
        qemu.current_dir(folder).stdin(Stdio::null()).stdout(console.try_clone().unwrap()).stderr(console);
        for socket in ["monitor", "agent", "gps", "range"] {
            let _ = fs::remove_file(folder.join(socket));
        }
        let mut qemu = qemu.spawn().unwrap();
        let mut connect = |name: &str| connect(&mut qemu, folder, name);
        let (agent, monitor) = (connect("agent"), connect("monitor"));
        let (gps, range) = (SerialLine::new("gps", connect("gps")), SerialLine::new("range", connect("range")));
        for stream in [&agent, &monitor] {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        let (agent, monitor) = (BufReader::new(agent), BufReader::new(monitor));
        let mut machine = Self { qemu, agent, monitor, commands: 0, share, gps, range };
        read_line(&mut machine.monitor, "QEMU's greeting");
        machine.monitor("qmp_capabilities", json!({}));
        assert_eq!(machine.answer("booting").trim(), "0 0");
        println!("{:7.1} s: it has booted", machine.uptime().as_secs_f64());
        machine
    }

    fn answer(&mut self, to: &str) -> String {
        read_line(&mut self.agent, to)
    }

    /// Runs a line of shell in there, and returns its status and what it said.
    pub fn try_sh(&mut self, command: &str) -> (i32, String) {
        assert!(!command.contains('\n'), "{command}");
        self.commands += 1;
        let (id, limit) = (self.commands, PATIENCE.as_secs() * 2 / 3);
        writeln!(self.agent.get_mut(), "{id} {limit} {command}").unwrap();
        let answer = self.answer(command);
        let status = answer.trim().strip_prefix(&format!("{id} ")).unwrap_or_else(|| panic!("{command}: {answer:?}"));
        let said = fs::read(self.share.join(format!("out/{id}"))).unwrap();
        (status.parse().unwrap(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Runs a line of shell in there, which must succeed, and returns what it said.
    pub fn sh(&mut self, command: &str) -> String {
        let (status, said) = self.try_sh(command);
        assert_eq!(status, 0, "{command}\n{said}");
        said
    }

    /// Its clock: that of the ticks.
    pub fn uptime(&mut self) -> Mono {
        let said = self.sh("cat /proc/uptime");
        let seconds: f64 = said.split(' ').next().unwrap().parse().unwrap();
        Mono((seconds * 1e9) as u64)
    }

    /// Tells QEMU something.
    pub fn monitor(&mut self, execute: &str, arguments: Value) {
        writeln!(self.monitor.get_mut(), "{}", json!({ "execute": execute, "arguments": arguments })).unwrap();
        loop {
            let said: Value = serde_json::from_str(&read_line(&mut self.monitor, execute)).unwrap();
            assert!(said.get("error").is_none(), "{execute}: {said}");
            if said.get("return").is_some() {
                return;
            }
        }
    }

    /// Pulls out the adapter of a serial line, with what is behind it.
    pub fn unplug(&mut self, line: Line) {
        self.line(line).say_nothing();
        self.monitor("device_del", json!({ "id": format!("{}-usb", line.name()) }));
    }

    /// Plugs it in again. What is behind it is silent until it is told to speak.
    pub fn plug_in(&mut self, line: Line) {
        let name = line.name();
        let port = if line == Line::Gps { "1" } else { "2" };
        self.monitor(
            "device_add",
            json!({
                "driver": "usb-serial", "chardev": name, "id": format!("{name}-usb"),
                "bus": "usb.0", "port": port, "always-plugged": true,
            }),
        );
    }

    /// The end of a serial line at which the device is.
    pub fn line(&self, line: Line) -> &SerialLine {
        match line {
            Line::Gps => &self.gps,
            Line::Range => &self.range,
        }
    }

    /// The folder that is `/host` in there.
    pub fn share(&self) -> &Path {
        &self.share
    }

    /// Cuts the power.
    pub fn cut_power(mut self) {
        self.monitor("quit", json!({}));
        self.wait_for_end();
    }

    /// Shuts it down in order.
    pub fn switch_off(mut self) {
        writeln!(self.agent.get_mut(), "{} 60 sync; poweroff -f", self.commands + 1).unwrap();
        self.wait_for_end();
    }

    fn wait_for_end(&mut self) -> ExitStatus {
        look(|| self.qemu.try_wait().unwrap()).unwrap_or_else(|| panic!("it does not end"))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
        if std::thread::panicking() {
            let console = self.share.with_file_name("console");
            println!("its console:\n{}", String::from_utf8_lossy(&fs::read(console).unwrap_or_default()));
        }
    }
}

fn connect(qemu: &mut Child, folder: &Path, name: &str) -> UnixStream {
    let console = || String::from_utf8_lossy(&fs::read(folder.join("console")).unwrap()).into_owned();
    let connected = look(|| {
        assert!(qemu.try_wait().unwrap().is_none(), "QEMU has ended: {}", console());
        UnixStream::connect(folder.join(name)).ok()
    });
    connected.unwrap_or_else(|| panic!("QEMU has no {name}: {}", console()))
}

fn read_line(from: &mut BufReader<UnixStream>, to: &str) -> String {
    let mut line = String::new();
    let read = from.read_line(&mut line).unwrap_or_else(|error| panic!("no answer to {to}: {error}"));
    assert!(read > 0, "it has hung up: {to}");
    line
}

/// Looks until there is something to see; None when [`PATIENCE`] is over.
#[expect(clippy::disallowed_methods, reason = "waits for another machine")]
pub fn look<T>(mut see: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        let seen = see();
        if seen.is_some() || began.elapsed() > PATIENCE {
            return seen;
        }
        pause(Duration::from_millis(50));
    }
}

/// Lets time pass.
#[expect(clippy::disallowed_methods, reason = "plays devices that speak now and then")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}
