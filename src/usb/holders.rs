//! Who has a probe open, as Linux tells it: proc(5), /proc/PID/fd and /proc/PID/comm.

use std::fs::read_dir;
use std::path::{Path, PathBuf};

/// "in use by openocd (pid 4711)", and how many processes would not be looked into. `None`: nobody is seen, and none hides.
pub fn holders(proc: &Path, node: &Path) -> Option<String> {
    let me = std::process::id();
    let processes =
        read_dir(proc).ok()?.flatten().filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())));
    let (mut names, mut hidden) = (Vec::new(), 0);
    for (pid, folder) in processes.filter(|(pid, _)| *pid != me) {
        match has_open(&folder, node) {
            Some(true) => names.push(format!("{} (pid {pid})", program(&folder))),
            Some(false) => {}
            None => hidden += 1,
        }
    }
    names.sort();
    match (names.is_empty(), hidden) {
        (false, _) => Some(format!("in use by {}", names.join(", "))),
        (true, 0) => None,
        (true, _) => Some(format!("which one is not to be seen: {hidden} processes of other users let nobody look; root may")),
    }
}

/// `None`: may not be known. A process that has ended meanwhile has nothing open.
fn has_open(folder: &Path, node: &Path) -> Option<bool> {
    match read_dir(folder.join("fd")) {
        Ok(files) => Some(files.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(|open| open == node))),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => None,
        Err(_) => Some(false),
    }
}

fn program(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("comm")).map_or("a program".into(), |name| name.trim().to_string())
}

/// The file by which libusb opens a device.
pub fn node(bus: u8, address: u8) -> PathBuf {
    PathBuf::from(format!("/dev/bus/usb/{bus:03}/{address:03}"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_named_with_its_pid_and_no_holder_is_none() {
        let proc = tempfile::tempdir().unwrap();
        let process = proc.path().join("4711");
        std::fs::create_dir_all(process.join("fd")).unwrap();
        std::fs::create_dir_all(proc.path().join("bus")).unwrap();
        std::fs::write(process.join("comm"), "openocd\n").unwrap();
        let node = node(1, 7);
        assert_eq!(node, Path::new("/dev/bus/usb/001/007"));
        assert_eq!(holders(proc.path(), &node), None);
        std::os::unix::fs::symlink(&node, process.join("fd/5")).unwrap();
        assert_eq!(holders(proc.path(), &node).as_deref(), Some("in use by openocd (pid 4711)"));
    }

    #[test]
    fn this_process_is_none_of_the_holders_and_another_is_found_in_the_true_proc() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let seen = || holders(Path::new("/proc"), file.path()).unwrap_or_default();
        assert!(!seen().contains("in use by"), "{}", seen());
        let mut child = std::process::Command::new("sleep").arg("60").stdin(file.reopen().unwrap()).spawn().unwrap();
        let told = seen();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(told.contains(&format!("(pid {})", child.id())), "{told}");
    }
}
