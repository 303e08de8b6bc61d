package sdk

import "strings"

// MatchPath says whether path matches pattern: * and ? (one byte) stay within one path element, ** crosses them. "/a/**" matches what
// is below /a, not /a itself.
func MatchPath(pattern, path string) bool { return match(pattern, path, '/') }

// MatchText says whether text matches pattern, where * matches anything.
func MatchText(pattern, text string) bool { return match(pattern, text, 0) }

// match backtracks to the last * and, beyond that, the last ** only, so that no pattern takes exponential time: patterns and texts
// come from strangers.
func match(pattern, s string, sep byte) bool {
	p, i := 0, 0
	starP, starI := -1, 0   // the last * and where it began to match
	superP, superI := -1, 0 // the last **
	for i < len(s) {
		switch {
		case strings.HasPrefix(pattern[p:], "**") && sep != 0:
			p += 2
			superP, superI, starP = p, i, -1
			continue
		case p < len(pattern) && pattern[p] == '*':
			p++
			starP, starI = p, i
			continue
		case p < len(pattern) && (pattern[p] == s[i] || (pattern[p] == '?' && (sep == 0 || s[i] != sep))):
			p++
			i++
			continue
		}
		switch {
		case starP >= 0 && (sep == 0 || s[starI] != sep):
			starI++
			p, i = starP, starI
		case superP >= 0:
			superI++
			p, i, starP = superP, superI, -1
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
