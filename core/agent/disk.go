package agent

import (
	"fmt"

	"github.com/dustin/go-humanize"
)

// Disk is what a sandbox's storage holds and may hold, in bytes, as its agent server counts it. A limit of 0 is none.
type Disk struct {
	Used  int64 `json:"used"`
	Limit int64 `json:"limit"`
}

// Over says whether more is there than may be.
func (d Disk) Over() bool { return d.Limit > 0 && d.Used > d.Limit }

// String is a line for people and the model.
func (d Disk) String() string {
	return fmt.Sprintf("%s are stored, the limit is %s", humanize.IBytes(uint64(max(d.Used, 0))), humanize.IBytes(uint64(max(d.Limit, 0))))
}

func (d *Disk) check() error {
	if d != nil && (d.Used < 0 || d.Limit < 0) {
		return fmt.Errorf("%w: a negative size of a disk", ErrProtocol)
	}
	return nil
}
