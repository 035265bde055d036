package sock

import (
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// sendPiece is how much of a file one call may send: the pace of the peer is looked at in between.
const sendPiece = 256 << 10
