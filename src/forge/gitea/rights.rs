//! What an account may do, as far as Gitea tells our account.
//!
//! An administrator of the repository is told everybody's right. Anyone else is refused, and has two lists: who can
//! be assigned, and the organisation's teams. In a person's own repository only writers can be assigned. In an
//! organisation's, also everyone in a team that merely reads pull requests can, so there the teams have to leave no
//! doubt; where they do, the right is not known.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::Deserialize;

use super::super::http::Call;
use super::super::{Account, Error};
use super::shape::{RawRepository, RawUser, account};
use super::{Home, Repo, flat, front};
use crate::domain::policy::Right;

/// A team that reaches a repository.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawTeam {
    /// What it may do in each part of the repository: `repo.issues` is `none`, `read`, `write`, `admin` or `owner`.
    units_map: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawGrant {
    permission: Option<String>,
}

/// The teams of the repository `name`; `None` for a person's own, which has none.
pub(super) async fn teams(home: &Home, name: &str) -> Result<Option<Vec<RawTeam>>, Error> {
    let what = format!("teams of {name}");
    let path = front(name).into_iter().chain(["teams".to_owned()]);
    let call = Call::new(Method::GET, path, what);
    let answer = home.client.send(&call, &[200, 405]).await.map_err(flat)?;
    match answer.status {
        405 => Ok(None),
        _ => Ok(Some(answer.list()?)),
    }
}

/// What `login` may do in `repo` at this moment, `None` where the forge does not say.
pub(super) async fn right(repo: &Repo, login: &str) -> Result<Option<Right>, Error> {
    // No account is called that; the rest of the path would mean something else.
    if login.is_empty() || login.chars().any(|c| c == '/' || c.is_control()) {
        return Ok(Some(Right::None));
    }
    let what = format!("the right of {login}");
    let call = Call::new(
        Method::GET,
        ["collaborators", login, "permission"],
        what.clone(),
    );
    let told = match repo.send(call, &[200, 403]).await {
        Err(Error::Gone { .. }) => {
            // No such account, unless it is the repository that is gone.
            repo.raw().await?;
            return Ok(Some(Right::None));
        }
        Err(Error::Invalid { .. }) => return Ok(Some(Right::None)),
        answer => answer?,
    };
    let told = match told.status {
        200 => word(told.read::<RawGrant>()?.permission.as_deref()),
        _ => None,
    };
    // A member of a team that may only sort issues is told as a reader, of what is private as nobody.
    match told {
        Some(right) if right > Right::Read => Ok(Some(right)),
        told => Ok(assigned(repo, login).await?.or(told)),
    }
}

pub(super) fn word(word: Option<&str>) -> Option<Right> {
    match word? {
        "owner" | "admin" => Some(Right::Admin),
        "write" => Some(Right::Write),
        "read" => Some(Right::Read),
        "none" => Some(Right::None),
        _ => None,
    }
}

/// What follows from the lists of those who can be assigned and of teams.
async fn assigned(repo: &Repo, login: &str) -> Result<Option<Right>, Error> {
    let raw = repo.raw().await?;
    let is = |name: &str| name.eq_ignore_ascii_case(login);
    let owner = raw.full_name.split_once('/').map(|(owner, _)| owner);
    let call = Call::new(Method::GET, ["assignees"], "who can be assigned");
    let all: Vec<RawUser> = repo.send(call, &[200]).await?.list()?;
    if !all.iter().any(|user| is(&user.login)) {
        return reader(repo, login, &raw).await;
    }
    Ok(match teams(&repo.home, &raw.full_name).await? {
        None if owner.is_some_and(is) => Some(Right::Admin),
        None => Some(Right::Write),
        Some(teams) => least(&teams),
    })
}

/// Who can be assigned: everyone who may push, and in an organisation some who may only read.
pub(super) async fn assignable(repo: &Repo) -> Result<Vec<Account>, Error> {
    let call = Call::new(Method::GET, ["assignees"], "who can be assigned");
    let all: Vec<RawUser> = repo.send(call, &[200]).await?.list()?;
    Ok(all
        .into_iter()
        .filter_map(|user| account(Some(user)))
        .collect())
}

/// Everyone reads what is public; who reads the rest is not told.
async fn reader(repo: &Repo, login: &str, raw: &RawRepository) -> Result<Option<Right>, Error> {
    if raw.private || raw.internal {
        return Ok(None);
    }
    let what = format!("account {login}");
    let call = Call::new(Method::GET, ["users", login], what);
    let answer = repo.home.client.send(&call, &[200, 404]).await;
    match answer.map_err(flat)?.status {
        200 => Ok(Some(Right::Read)),
        _ => Ok(Some(Right::None)),
    }
}

/// What everyone who can be assigned in an organisation's repository may do at least. Some can through one of its
/// teams, which it is not told; the others write.
fn least(teams: &[RawTeam]) -> Option<Right> {
    let mut least = Some(Right::Write);
    for team in teams {
        let units = team.units_map.clone().unwrap_or_default();
        let may = |unit: &str| units.get(unit).and_then(|mode| word(Some(mode.as_str())));
        let writes = |unit: &str| may(unit) >= Some(Right::Write);
        let assignable = units.is_empty()
            || units.keys().any(|unit| writes(unit))
            || may("repo.pulls") >= Some(Right::Read);
        let of_team = match (writes("repo.issues"), writes("repo.code")) {
            _ if !assignable => continue,
            (true, true) => Some(Right::Write),
            (true, false) => Some(Right::Triage),
            (false, _) => None,
        };
        least = least.min(of_team);
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    fn team(units: &[(&str, &str)]) -> RawTeam {
        let units = units.iter();
        RawTeam {
            units_map: Some(
                units
                    .map(|(unit, mode)| (format!("repo.{unit}"), (*mode).to_owned()))
                    .collect(),
            ),
        }
    }

    #[test]
    fn those_who_can_be_assigned_in_an_organisation_may_what_the_weakest_of_their_teams_may() {
        let owners = team(&[("issues", "owner"), ("code", "owner"), ("pulls", "owner")]);
        let writers = team(&[("issues", "write"), ("code", "write"), ("pulls", "write")]);
        let triage = team(&[("issues", "write"), ("code", "read"), ("pulls", "read")]);
        let readers = team(&[("issues", "read"), ("code", "read"), ("pulls", "read")]);
        let wiki = team(&[("wiki", "write"), ("issues", "read")]);
        let code = team(&[("code", "read"), ("issues", "read")]);
        for (teams, expected) in [
            (vec![], Some(Right::Write)),
            (vec![owners.clone(), writers.clone()], Some(Right::Write)),
            (vec![owners.clone(), triage.clone()], Some(Right::Triage)),
            (vec![owners.clone(), triage, readers], None),
            (vec![owners.clone(), wiki], None),
            // Who only reads code cannot be assigned, so nobody who can is there.
            (vec![owners.clone(), code], Some(Right::Write)),
            // A team that says nothing may be anything.
            (vec![owners, RawTeam::default()], None),
        ] {
            assert_eq!(least(&teams), expected, "{teams:?}");
        }
    }
}
