//go:build !linux

package sock

import "os"

// CanSendFile is never true here.
func CanSendFile(*Conn) bool { return false }

// SendFile is never called here.
func SendFile(*Conn, int, int64, int64, func(int64) bool) (int64, bool, error) {
	return 0, false, os.ErrInvalid
}
