// Package cluster holds what the operators have decided about servers: which of them are drained. It alone writes
// [pool.Drained].
//
// Start at [Store]. It keeps the drains of this node in one file, so that they survive a restart; [Last] tells whether a
// drain would take a pool's last usable member.
//
// It promises that a drain which was acknowledged is on disk, that one which was refused changes nothing, and that one which
// expires does so on time. It does not share anything with other nodes yet, be it by gossip or by etcd: a drain holds on the node
// that was told about it.
package cluster
