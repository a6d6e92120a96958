//! Links that open the page of one task for a while: signed, so that nothing of them has to be kept.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use crate::domain::ident::{TaskId, Time};

/// What signs links. Whoever has it can open every page.
#[derive(Clone)]
pub struct LinkKey(SecretString);

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKey")
    }
}

impl LinkKey {
    /// From at least 32 random characters.
    #[must_use]
    pub fn new(random: SecretString) -> Self {
        Self(random)
    }

    /// What opens the page of `task` before `until`: milliseconds, a dot, 64 hexadecimal digits.
    #[must_use]
    pub fn pass(&self, task: TaskId, until: Time) -> String {
        let mac = self.mac(task, until).finalize().into_bytes();
        let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}.{hex}", until.0)
    }

    /// Until when `pass` opens the page of `task`; `None` = not now, or never.
    #[must_use]
    pub(super) fn opens(&self, task: TaskId, pass: &str, now: Time) -> Option<Time> {
        let (until, hex) = pass.split_once('.')?;
        // As it is written by us, so that one time has one form.
        let until = until
            .parse()
            .ok()
            .map(Time)
            .filter(|at| at.0.to_string() == until)?;
        let mut given = [0_u8; 32];
        if hex.len() != 64 || !hex.is_ascii() {
            return None;
        }
        for (at, byte) in given.iter_mut().enumerate() {
            *byte = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        // In constant time.
        self.mac(task, until).verify_slice(&given).ok()?;
        (now < until).then_some(until)
    }

    fn mac(&self, task: TaskId, until: Time) -> Hmac<Sha256> {
        let key = self.0.expose_secret().as_bytes();
        #[expect(clippy::expect_used, reason = "an HMAC takes keys of every length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
        mac.update(format!("prentice page {task} until {}", until.0).as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_opens_its_own_task_until_its_time_and_nothing_else() {
        let key = LinkKey::new(SecretString::from("k".repeat(32)));
        let (task, until) = (TaskId(7), Time(1_000));
        let pass = key.pass(task, until);
        assert_eq!(key.opens(task, &pass, Time(999)), Some(until));
        assert_eq!(key.opens(task, &pass, until), None, "its time is over");
        assert_eq!(key.opens(TaskId(8), &pass, Time(0)), None);
        let other = LinkKey::new(SecretString::from("l".repeat(32)));
        assert_eq!(other.opens(task, &pass, Time(0)), None);
        let (_, signature) = pass.split_once('.').unwrap();
        for forged in [
            format!("2000.{signature}"),
            format!("+1000.{signature}"),
            format!("1000.{}", signature.replace('a', "b").replace('0', "1")),
            format!("1000.{}", &signature[..62]),
            "1000.".to_owned(),
            ".".to_owned(),
            String::new(),
        ] {
            assert_eq!(key.opens(task, &forged, Time(0)), None, "{forged}");
        }
        assert!(!format!("{key:?}").contains("kkk"));
    }
}
