//! Judges on a real USB: in a guest (tests/usb-guest) with Linux's own usbcore and libusb, the embedded board is plugged
//! into vhci_hcd, and unmodified programs use it: stlink-tools, OpenOCD, and rocd itself through rusb. What they did is
//! read back through the board's own door.

#![cfg(target_os = "linux")]

mod served;

use served::segments;
use served::verdict::{Verdict, there};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const GUEST: &str = "tests/usb-guest/run";
const FLASH: u32 = 0x0800_0000;

/// A guest and the folder that it shares with us, /mnt there.
struct Guest {
    folder: tempfile::TempDir,
    _verdict: Verdict,
}

impl Guest {
    /// For `judge` and boards of `chip`. `None`, and said so, where the guest's kernel or one of `tools` is missing.
    fn with(judge: &str, tools: &[&str], chip: &str) -> Option<Guest> {
        let kernel = Command::new(GUEST).current_dir(env!("CARGO_MANIFEST_DIR")).arg("--kernel").output().unwrap();
        // What the guest itself needs, then what is to run there.
        let tools = ["busybox", "perl", "xz"].iter().chain(tools);
        let mut missing: Vec<String> = tools.filter(|tool| !there(tool)).map(|tool| format!("{tool} is not installed")).collect();
        if !kernel.status.success() {
            missing.push(String::from_utf8_lossy(&kernel.stderr).trim().to_string());
        }
        let verdict = Verdict::unless((!missing.is_empty()).then(|| missing.join("; ")), &format!("{judge} over USB"), chip)?;
        Some(Guest { folder: tempfile::tempdir().unwrap(), _verdict: verdict })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What `script` said, behind the words of board.sh, in the checkout's folder; it must end with 0.
    fn run(&self, script: &str) -> String {
        let whole = format!("set -u\nROCD={}\n. tests/usb-guest/board.sh\n{script}\n", env!("CARGO_BIN_EXE_rocd"));
        std::fs::write(self.file("script"), whole).unwrap();
        let output = Command::new(GUEST)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("GUEST_RW", self.folder.path())
            .env("GUEST_TIMEOUT", "600")
            .args(["/bin/sh", "/mnt/script"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}:\n{said}", output.status);
        said
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.file(name)).unwrap()
    }
}

/// All of `said` must be there, in this order.
fn says(said: &str, words: &[&str]) {
    let mut rest = said;
    for word in words {
        let at = rest.find(word).unwrap_or_else(|| panic!("`{word}` is not said, or not in its place:\n{said}"));
        rest = &rest[at + word.len()..];
    }
}

fn program(file: &str) -> Vec<(u32, Vec<u8>)> {
    segments(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/firmware").join(file))
}

/// The flash of a board, dumped from its start, holds the program.
fn holds(dump: &[u8], file: &str) {
    let segments = program(file);
    assert!(segments.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > 100, "{file} has something to hold");
    for (address, bytes) in segments {
        let at = (address - FLASH) as usize;
        assert!(dump[at..at + bytes.len()] == bytes[..], "{file} is not in flash at {address:#010x}");
    }
}

#[test]
fn st_info_finds_every_kind_of_probe_and_its_chip() {
    let Some(guest) = Guest::with("st-info", &["st-info"], "stm32h743, stm32g071") else { return };
    let said = guest.run(
        "serve --vhci 0 --board stm32h743,v2 --board stm32g071,v2-1,303132333435363738393A3B --board stm32h743,v3
        on_bus 3
        check 0 lsusb
        check 0 st-info --probe",
    );
    for words in [
        "Found 3 stlink programmers",
        "V2J37S7",
        "V2J33",
        "V3J10",
        "303132333435363738393A3B",
        "0x0450",
        "0x0460",
        "ID 0483:3748",
        "ID 0483:374b",
        "ID 0483:374e",
    ] {
        assert!(said.contains(words), "`{words}` is not said:\n{said}");
    }
}

#[test]
fn usbip_attaches_a_board_of_another_machine() {
    let Some(guest) = Guest::with("usbip", &["usbip", "st-info"], "stm32h743, stm32g071") else { return };
    let said = guest.run(
        "serve --usbip 127.0.0.1:3240 --board stm32h743,v2-1 --board stm32g071,v3
        check 0 usbip list --remote 127.0.0.1
        check 0 usbip attach --remote 127.0.0.1 --busid 1-2
        on_bus 1
        check 1 usbip attach --remote 127.0.0.1 --busid 1-2
        check 0 usbip list --remote 127.0.0.1
        check 0 st-info --probe
        check 0 usbip detach --port 0
        on_bus 0
        check 0 usbip attach --remote 127.0.0.1 --busid 1-1
        on_bus 1
        check 0 st-info --probe",
    );
    says(&said, &["1-1:", "(0483:374b)", "1-2:", "(0483:374e)", "1-1:", "0x0460", "0x0450"]);
}

#[test]
fn st_flash_writes_reads_and_erases_h743() {
    st_flash("stm32h743,v2-1", 150_000, 0x20_0000);
}

#[test]
fn st_flash_writes_reads_and_erases_g071() {
    st_flash("stm32g071,v3", 20_000, 0x2_0000);
}

fn st_flash(board: &str, len: usize, size: usize) {
    let Some(guest) = Guest::with("st-flash", &["st-flash"], board) else { return };
    let image: Vec<u8> = (0..len as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(guest.file("image.bin"), &image).unwrap();
    let said = guest.run(&format!(
        "serve --vhci 0 --board {board}
        on_bus 1
        check 0 st-flash write /mnt/image.bin {FLASH:#x}
        ask 'sim dump /mnt/written.bin {FLASH:#x} {size}' || exit 93
        check 0 st-flash read /mnt/read.bin {FLASH:#x} {len}
        check 0 st-flash erase
        ask 'sim dump /mnt/erased.bin {FLASH:#x} {size}' || exit 94"
    ));
    says(&said, &["Flash written and verified! jolly good!"]);
    let written = guest.read("written.bin");
    assert!(written[..len] == image[..], "what is in flash is not what was to be written");
    assert!(guest.read("read.bin") == image, "st-flash read something else");
    assert!(guest.read("erased.bin").iter().all(|byte| *byte == 0xff), "flash is not erased");
}

#[test]
fn openocd_programs_h743_over_usb() {
    openocd("stm32h743,v3", "interface/stlink.cfg", "hla_swd", "stm32h7x", "dense-200k-h743.elf");
}

#[test]
fn openocd_programs_g071_over_usb() {
    openocd("stm32g071,v2-1", "interface/stlink-dap.cfg", "dapdirect_swd", "stm32g0x", "dense-64k-g071.elf");
}

fn openocd(board: &str, interface: &str, transport: &str, target: &str, file: &str) {
    let Some(guest) = Guest::with("OpenOCD", &["openocd"], board) else { return };
    let said = guest.run(&format!(
        "serve --vhci 0 --board {board}
        on_bus 1
        check 0 openocd -c 'gdb_port disabled' -c 'telnet_port disabled' -c 'tcl_port disabled' -f {interface} \
            -c 'transport select {transport}' -f target/{target}.cfg -c 'program tests/firmware/{file} verify reset exit'
        ask 'sim dump /mnt/flash.bin {FLASH:#x} 256K' || ask 'sim dump /mnt/flash.bin {FLASH:#x} 128K' || exit 93"
    ));
    says(&said, &["** Programming Finished **", "** Verified OK **", "** Resetting Target **"]);
    holds(&guest.read("flash.bin"), file);
}

/// rocd through libusb, one command of it.
fn rocd(target: &str, line: &str) -> String {
    format!("$ROCD -f stlink -f {target} -c '{line}'")
}

/// The beginning of a program, which fills three sectors of a G071: without a loader rocd needs some transfers for
/// every double word, so this takes seconds in the guest.
fn program_g071(guest: &Guest) -> (Vec<u8>, String) {
    const LEN: usize = 6 << 10;
    let (_, bytes) = program("dense-64k-g071.elf").into_iter().find(|(address, bytes)| *address == FLASH && bytes.len() > LEN).unwrap();
    std::fs::write(guest.file("image.bin"), &bytes[..LEN]).unwrap();
    (bytes[..LEN].to_vec(), rocd("stm32g0", &format!("program /mnt/image.bin {FLASH:#x} verify noloader")))
}

#[test]
fn rocd_lists_attaches_programs_and_verifies_over_usb() {
    for (board, target, pid, file) in [
        ("stm32h743,v2", "stm32h7", "3748", "blinky-h743.elf"),
        ("stm32g071,v2-1", "stm32g0", "374b", "blinky-g071.elf"),
        ("stm32h743,v3", "stm32h7", "374e", "blinky-h743.elf"),
    ] {
        let Some(guest) = Guest::with("rocd", &[], board) else { return };
        let said = guest.run(&format!(
            "serve --vhci 0 --board {board}
            on_bus 1
            check 0 $ROCD probe list
            check 0 {}
            check 0 {}
            ask 'sim dump /mnt/flash.bin {FLASH:#x} 4K' || exit 93",
            rocd(target, "targets"),
            rocd(target, &format!("program tests/firmware/{file} verify reset")),
        ));
        says(&said, &[&format!("0483:{pid}"), "526F6364426F617264000000", "wrote ", "verified ", "the core was started"]);
        holds(&guest.read("flash.bin"), file);
    }
}

#[test]
fn a_plug_pulled_in_mid_program_is_said_and_put_back_it_works() {
    let Some(guest) = Guest::with("rocd", &[], "stm32g071") else { return };
    let (image, program) = program_g071(&guest);
    let said = guest.run(&format!(
        "serve --vhci 0 --board stm32g071,v2-1
        on_bus 1
        ask 'sim inject unplug after 600' || exit 93
        check 3 {program}
        on_bus 0
        check 3 $ROCD -f stlink -f stm32g0 -c targets
        ask 'sim dump /mnt/half.bin {FLASH:#x} 128K' || exit 94
        ask 'sim plug' || exit 95
        on_bus 1
        check 0 {program}
        ask 'sim dump /mnt/flash.bin {FLASH:#x} 128K' || exit 96"
    ));
    says(&said, &["was unplugged", "plug it in again", "no probe is plugged in", "verified "]);
    let (half, whole) = (guest.read("half.bin"), guest.read("flash.bin"));
    let written = half.iter().zip(&image).take_while(|(there, wanted)| there == wanted).count();
    assert!(written > 0 && written < image.len(), "it was pulled after {written} bytes");
    assert!(half[image.len()..].iter().all(|byte| *byte == 0xff));
    assert!(whole[..image.len()] == image[..], "it is not written whole");
}

/// The very first command is sent again after a reset of the port, as other hosts do.
#[test]
fn a_stall_is_said_and_the_next_command_works() {
    let Some(guest) = Guest::with("rocd", &[], "stm32g071") else { return };
    let (image, program) = program_g071(&guest);
    let said = guest.run(&format!(
        "serve --vhci 0 --board stm32g071,v3
        on_bus 1
        ask 'sim inject stall' || exit 93
        check 0 $ROCD -f stlink -f stm32g0 -c targets
        for after in 4 20 80 150 600; do
            ask \"sim inject stall after $after\" || exit 94
            check 3 {program}
            ask 'sim inject heal' || exit 95
            check 0 $ROCD -f stlink -f stm32g0 -c targets
        done
        check 0 {program}
        ask 'sim dump /mnt/flash.bin {FLASH:#x} 128K' || exit 96"
    ));
    says(&said, &["(USB stall)", "(USB stall)", "(USB stall)", "(USB stall)", "(USB stall)", "verified "]);
    assert!(guest.read("flash.bin")[..image.len()] == image[..]);
}

#[test]
fn a_silent_probe_is_given_up_and_the_next_command_works() {
    let Some(guest) = Guest::with("rocd", &[], "stm32g071") else { return };
    let (image, program) = program_g071(&guest);
    let said = guest.run(&format!(
        "serve --vhci 0 --board stm32g071,v2-1
        on_bus 1
        for after in 20 600; do
            ask \"sim inject silent after $after\" || exit 93
            check 3 {program}
            check 0 $ROCD -f stlink -f stm32g0 -c targets
        done
        check 0 {program}
        ask 'sim dump /mnt/flash.bin {FLASH:#x} 128K' || exit 96"
    ));
    says(&said, &["did not answer within 6 s", "did not answer within 6 s", "verified "]);
    assert!(guest.read("flash.bin")[..image.len()] == image[..]);
}

#[test]
fn of_two_probes_the_one_that_is_named_is_used() {
    let Some(guest) = Guest::with("rocd", &[], "stm32g071") else { return };
    let said = guest.run(
        "serve --vhci 0 --board stm32g071,v2-1 --board stm32g071,v2-1
        on_bus 2
        check 3 $ROCD -f stlink -f stm32g0 -c targets
        check 0 $ROCD -f stlink -f stm32g0 -c 'adapter serial 526F6364426F617264000001; mww 0x20000000 0x600df00d'
        ask 'sim dump /mnt/0.bin 0x20000000 4' || exit 93
        ask 'sim board 1' || exit 94
        ask 'sim dump /mnt/1.bin 0x20000000 4' || exit 95",
    );
    says(&said, &["526F6364426F617264000000", "526F6364426F617264000001"]);
    assert_eq!(guest.read("1.bin"), 0x600d_f00du32.to_le_bytes());
    assert_ne!(guest.read("0.bin"), 0x600d_f00du32.to_le_bytes());
}

/// The word in RAM is lost to nobody: the chip has its own supply.
#[test]
fn a_session_finds_its_probe_again_when_it_is_put_back() {
    let Some(guest) = Guest::with("rocd", &[], "stm32g071") else { return };
    std::fs::write(
        guest.file("wait.rhai"),
        r#"
        mww(0x20000000, 0x600df00d);
        print("attached");
        loop {
            sleep(100);
            try { read_memory(0x20000000, 32, 1); } catch (error) { print(`${error.kind}: ${error.message}`); break; }
        }
        loop {
            sleep(100);
            try { connect(); break; } catch (error) { print(error.message); }
        }
        print(`again ${read_memory(0x20000000, 32, 1)[0]}`);
        "#,
    )
    .unwrap();
    let said = guest.run(
        "serve --vhci 0 --board stm32g071,v2-1
        on_bus 1
        $ROCD -f stlink -f stm32g0 -f /mnt/wait.rhai >/mnt/session 2>&1 &
        until grep -q attached /mnt/session; do sleep 0.1; done
        ask 'sim unplug' || exit 93
        on_bus 0
        until grep -q unplugged /mnt/session; do sleep 0.1; done
        ask 'sim plug' || exit 94
        on_bus 1
        wait $! || { cat /mnt/session; exit 95; }
        cat /mnt/session",
    );
    says(&said, &["attached", "probe: ", "was unplugged", &format!("again {}", 0x600d_f00du32)]);
}

#[test]
fn a_probe_that_another_program_has_is_said_to_be_in_use() {
    let Some(guest) = Guest::with("rocd", &[], "stm32g071") else { return };
    let said = guest.run(
        "serve --vhci 0 --board stm32g071,v3
        on_bus 1
        $ROCD -f stlink -f stm32g0 -c 'targets; echo attached; sleep 600000' >/mnt/first 2>&1 &
        FIRST=$!
        until grep -q attached /mnt/first; do sleep 0.1; done
        check 3 $ROCD -f stlink -f stm32g0 -c targets
        kill -TERM $FIRST
        wait $FIRST
        check 0 $ROCD -f stlink -f stm32g0 -c targets",
    );
    says(&said, &["another program is using the probe", "cm0p"]);
}

#[test]
fn without_permission_the_rule_for_it_is_told() {
    let Some(guest) = Guest::with("rocd", &["setpriv"], "stm32g071") else { return };
    let nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups";
    let said = guest.run(&format!(
        "serve --vhci 0 --board stm32g071,v2-1
        on_bus 1
        check 0 {nobody} $ROCD probe list
        check 3 {nobody} $ROCD -f stlink -f stm32g0 -c targets
        check 0 $ROCD -f stlink -f stm32g0 -c targets"
    ));
    says(&said, &["526F6364426F617264000000", "no permission", "no permission", "60-rocd.rules", "ATTR{idProduct}==\"374b\""]);
}

#[test]
fn probe_list_says_who_uses_a_probe_and_who_may_not() {
    let Some(guest) = Guest::with("rocd probe list", &[], "stm32h743") else { return };
    let said = guest.run(
        "serve --vhci 0 --board stm32h743,v2-1
        on_bus 1
        check 0 $ROCD probe list
        $ROCD -f stlink -f stm32h7 -c 'connect; sleep 600000' &
        user=$!
        sleep 3
        echo the user is $user
        check 0 $ROCD probe list
        kill $user
        sleep 1
        chmod 600 /dev/bus/usb/*/*
        check 0 perl -e '($<, $>) = (65534, 65534); exec @ARGV' $ROCD probe list",
    );
    let user = said.split("the user is ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
    says(
        &said,
        &[
            "ST-Link V2-1 (0483:374b) V2J33",
            "target at 3.3",
            "the user is",
            "another program is using the probe 0483:374b; in use by ",
            &format!("(pid {user})"),
            "no permission to use the probe 0483:374b; `rocd udev",
        ],
    );
}
