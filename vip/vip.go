// Package vip keeps virtual addresses: it decides how fit this node is to own them, and has a speaker process own them by VRRP.
package vip
