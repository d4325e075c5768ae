//! The members of the etcd cluster, as one control plane's member lists them. Asked only where somebody joins or leaves.

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Hex digits, as etcdctl writes them.
    pub id: String,
    /// Empty where it was added and has never started.
    pub name: String,
    /// `https://ADDRESS:2380`.
    pub peer: String,
    /// `https://ADDRESS:2379`, once it has told the others; empty before.
    pub client: String,
    /// Follows, and does not vote.
    pub learner: bool,
    /// Whether it answered for the cluster a moment ago.
    pub healthy: bool,
}

impl Member {
    /// Whether it has ever been up: then it has data, or had.
    #[must_use]
    pub fn started(&self) -> bool {
        !self.client.is_empty()
    }

    /// For people: its name, or where it should be.
    #[must_use]
    pub fn called(&self) -> &str {
        if self.name.is_empty() { &self.peer } else { &self.name }
    }
}

/// Parses a reply with lines `member ID, STATUS, NAME, PEER, CLIENT, IS LEARNER` (as etcdctl prints them) and
/// `health CLIENT is healthy: …`, ended by `end`.
///
/// # Errors
/// What the machine said instead, or that the reply is cut.
pub fn members(reply: &str) -> Result<Vec<Member>, String> {
    if let Some(why) = reply.lines().find_map(|l| l.strip_prefix("silent ")) {
        return Err(why.trim().to_owned());
    }
    if reply.lines().last() != Some("end") {
        return Err(format!("the reply is cut: it ends with {:?}", reply.lines().last().unwrap_or_default()));
    }
    let healthy: Vec<&str> =
        reply.lines().filter_map(|l| l.strip_prefix("health ")?.split_once(" is healthy").map(|(url, _)| url)).collect();
    let members =
        reply.lines().filter_map(|l| l.strip_prefix("member ")).map(|line| member(line, &healthy)).collect::<Result<Vec<_>, _>>()?;
    if members.is_empty() { Err("it lists no member".to_owned()) } else { Ok(members) }
}

fn member(line: &str, healthy: &[&str]) -> Result<Member, String> {
    let fields: Vec<&str> = line.split(", ").collect();
    let [id, _, name, peer, client, learner] = fields.as_slice() else { return Err(format!("a line that is none: {line:?}")) };
    // Several addresses are never ours; the first tells whose it is.
    let first = |urls: &str| urls.split(',').next().unwrap_or_default().to_owned();
    let client = first(client);
    Ok(Member {
        id: (*id).to_owned(),
        name: (*name).to_owned(),
        peer: first(peer),
        learner: *learner == "true",
        healthy: healthy.contains(&client.as_str()),
        client,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Said by etcdctl 3.6.16.
    const REPLY: &str = "\
member 1609b5a3a078c227, started, attic, https://10.77.0.1:2380, https://10.77.0.1:2379, false
member 2ff64b0b5a4c4f8d, started, cellar, https://10.77.0.2:2380, https://10.77.0.2:2379, false
member 8e9e05c52164694d, unstarted, , https://10.77.0.3:2380, , true
health https://10.77.0.1:2379 is healthy: successfully committed proposal: took = 2.1ms
health https://10.77.0.2:2379 is unhealthy: failed to commit proposal: context deadline exceeded
end
";

    #[test]
    fn a_list_with_a_dead_member_and_a_new_one() {
        let all = members(REPLY).unwrap();
        let told: Vec<_> = all.iter().map(|m| (m.called(), m.started(), m.learner, m.healthy)).collect();
        assert_eq!(told, [("attic", true, false, true), ("cellar", true, false, false), ("https://10.77.0.3:2380", false, true, false)]);
        assert_eq!(all[0].id, "1609b5a3a078c227");
    }

    #[test]
    fn what_is_cut_or_silent_is_no_empty_list() {
        assert!(members(&REPLY[..REPLY.len() - 4]).unwrap_err().contains("cut"));
        assert_eq!(members("silent context deadline exceeded\nend\n").unwrap_err(), "context deadline exceeded");
        assert_eq!(members("end\n").unwrap_err(), "it lists no member");
        assert!(members("member x\nend\n").is_err());
    }
}
