package baseline

import "bytes"

const (
	// maxEdits bounds how many lines are found to differ one by one, maxSteps how many lines are compared: beyond that all lines between
	// the first and the last difference count as replaced.
	maxEdits = 4000
	maxSteps = 20 << 20
)

// countLines is how many lines a shortest line-by-line change from one text to another adds and deletes.
func countLines(before, after []byte) (added, deleted int) {
	a, b := number(before, after)
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	// Lines that only one side has are in no common part, so they can be left out of the search.
	commonA, commonB := common(a, b), common(b, a)
	edits, ok := distance(commonA, commonB)
	if !ok {
		return len(b), len(a)
	}
	added = (edits + len(commonB) - len(commonA)) / 2
	deleted = (edits - len(commonB) + len(commonA)) / 2
	return added + len(b) - len(commonB), deleted + len(a) - len(commonA)
}

// number gives every line a number, equal lines the same.
func number(before, after []byte) (a, b []int) {
	known := map[string]int{}
	lines := func(text []byte) []int {
		all := make([]int, 0, bytes.Count(text, []byte{'\n'})+1)
		for line := range bytes.SplitAfterSeq(text, []byte{'\n'}) {
			if len(line) == 0 {
				continue // after the last newline
			}
			n, ok := known[string(line)]
			if !ok {
				n = len(known)
				known[string(line)] = n
			}
			all = append(all, n)
		}
		return all
	}
	return lines(before), lines(after)
}

// common are the lines of a that b has, too.
func common(a, b []int) []int {
	in := make(map[int]struct{}, len(b))
	for _, n := range b {
		in[n] = struct{}{}
	}
	var all []int
	for _, n := range a {
		if _, ok := in[n]; ok {
			all = append(all, n)
		}
	}
	return all
}

// distance is the number of insertions and deletions from a to b (Myers, "An O(ND) Difference Algorithm", 1986), unless that takes too
// long.
func distance(a, b []int) (edits int, ok bool) {
	limit := min(len(a)+len(b), maxEdits)
	// reach[k+limit+1] is how far in a the furthest path on the diagonal k has come.
	reach := make([]int, 2*limit+3)
	steps := 0
	for d := 0; d <= limit; d++ {
		for k := -d; k <= d; k += 2 {
			at := k + limit + 1
			x := reach[at-1] + 1
			if k == -d || k != d && reach[at-1] < reach[at+1] {
				x = reach[at+1]
			}
			for x < len(a) && x-k < len(b) && x-k >= 0 && a[x] == b[x-k] {
				x++
				steps++
			}
			reach[at] = x
			if steps++; steps > maxSteps {
				return 0, false
			}
			if x >= len(a) && x-k >= len(b) {
				return d, true
			}
		}
	}
	return 0, false
}
