package preset

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// The least and the most that resource_limits may give. Claude Code alone takes 155 to 215 MB; with less than MinMemory the
// kernel kills it in its first turn.
const (
	MinMemory  = 256 << 20
	MaxMemory  = 1 << 40
	MinStorage = 16 << 20
	MaxStorage = 16 << 40
	MinCPU     = 1_000
	MaxCPU     = 25_600_000
)

var sizeForm = regexp.MustCompile(`^([0-9]{1,15})(\.[0-9]{1,6})?([bkmgt]?)(i?b)?$`)

// ParseSize reads a size such as "512m", "4g", "1.5GiB" or "1048576". Units are binary (k is 1024) and their case does not matter.
// It fails for zero and for what does not fit into an int64.
func ParseSize(text string) (int64, error) {
	m := sizeForm.FindStringSubmatch(strings.ToLower(strings.TrimSpace(text)))
	if m == nil || (m[3] == "b" && m[4] != "") || (m[3] == "" && m[4] == "ib") {
		return 0, fmt.Errorf("%.40q is no size; write it like 512m or 4g", text)
	}
	shift := map[string]uint{"": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40}[m[3]]
	if m[2] == "" {
		n, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil || n > math.MaxInt64>>shift {
			return 0, fmt.Errorf("%.40q is too large", text)
		}
		if n == 0 {
			return 0, fmt.Errorf("%.40q is nothing", text)
		}
		return n << shift, nil
	}
	f, err := strconv.ParseFloat(m[1]+m[2], 64)
	bytes := f * float64(int64(1)<<shift)
	switch {
	case err != nil || bytes >= math.MaxInt64:
		return 0, fmt.Errorf("%.40q is too large", text)
	case bytes < 1:
		return 0, fmt.Errorf("%.40q is nothing", text)
	}
	return int64(bytes), nil
}

// FormatSize writes n bytes as ParseSize reads them, in the largest unit that divides n.
func FormatSize(n int64) string {
	for _, unit := range []struct {
		shift  uint
		suffix string
	}{{40, "t"}, {30, "g"}, {20, "m"}, {10, "k"}} {
		if n >= 1<<unit.shift && n%(1<<unit.shift) == 0 {
			return strconv.FormatInt(n>>unit.shift, 10) + unit.suffix
		}
	}
	return strconv.FormatInt(n, 10)
}
