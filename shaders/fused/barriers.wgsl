fn synchronize() { storageBarrier(); }
fn share() { workgroupBarrier(); }
