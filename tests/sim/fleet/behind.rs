//! A clone of the operator's files that is behind the cluster: another's, or that of a job in CI.

use super::house::House;
use homectl::cluster::Lock;
use std::fs;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_added_elsewhere_is_not_thrown_out() {
    let house = House::new().await;
    let (path, inventory) = (Lock::path(&house.home.inventory()), house.home.inventory());
    let text = fs::read_to_string(&inventory).unwrap();
    // Before n4 was added.
    let (before, _) = text.split_once("[[node]]\nname = \"n4\"").unwrap();
    let rest = text.split_once("\n[artifacts]").unwrap().1;
    fs::write(&inventory, format!("{before}\n[artifacts]{rest}")).unwrap();
    let mut lock = Lock::load(&path).unwrap().unwrap();
    lock.numbers.remove("n4").unwrap();
    lock.save(&path).unwrap();
    let said =
        ["`n4` is a node of this cluster, and neither the inventory nor the lock knows it", "n1 counts it among its peers", "git pull"];
    for words in [&["apply"][..], &["plan"], &["add-node", "n5", "127.1.0.5", "--endpoint", "192.168.1.5:51820", "--accept-new"]] {
        house.refuses(words, &said);
    }
}
