package preset

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/agcluster/agcluster/core/config/strict"
)

// MaxCustom is how many configurations of the users' own a library holds at most; each has at most strict.MaxBytes as YAML.
const MaxCustom = 200

// Errors that callers tell apart.
var (
	ErrExists   = errors.New("there is a configuration with this id")
	ErrNotFound = errors.New("there is no configuration of your own with this id")
	ErrFull     = fmt.Errorf("there are %d configurations of your own, which is the limit; delete one first", MaxCustom)
)

const reservedWords = "custom, schema, validate and tools are names of the API; choose another"

func reservedID(id string) bool {
	return slices.Contains([]string{"custom", "schema", "validate", "tools"}, id)
}

// Library is a catalog and, beside it, the configurations that users made themselves: a YAML file each, called ID.yaml, in a folder of
// the host's. What they leave out is filled in when they are read, as it is for presets. It is safe for concurrent use; what it returns
// must not be changed.
type Library struct {
	*Catalog
	dir string

	mu  sync.RWMutex
	own map[string]owned
}

// owned is one of the users' own. A file that can't be used (it names a policy that is gone, say) keeps its id and says why.
type owned struct {
	given, filled Config
	err           error
}

// Broken is a configuration of the users' own that can't be used.
type Broken struct {
	ID    string `json:"id"`
	Error string `json:"error" doc:"What is wrong with it."`
}

// OpenLibrary reads the users' own configurations in dir, which is made if need be. One that can't be used is kept and not offered: a
// policy that is gone must not keep the host from starting. The error says that the folder can't be read.
func OpenLibrary(catalog *Catalog, dir string) (*Library, error) {
	l := &Library{Catalog: catalog, dir: dir, own: map[string]owned{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of configurations: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the configurations: %w", err)
	}
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".yaml")
		if !ok || !idForm.MatchString(id) || !e.Type().IsRegular() {
			continue
		}
		l.own[id] = l.load(id)
	}
	return l, nil
}

func (l *Library) load(id string) owned {
	c, err := loadFile(os.DirFS(l.dir), id+".yaml", l.known)
	switch {
	case err != nil:
	case c.ID != id:
		err = Errors{{Field: "id", Message: fmt.Sprintf("is %q in a file called %s.yaml", c.ID, id)}}
	case l.taken(id):
		err = Errors{{Field: "id", Message: "is a preset's, too"}}
	}
	return owned{given: c, filled: l.defaults.Fill(c), err: err}
}

// taken says that a preset has this id.
func (l *Library) taken(id string) bool {
	_, ok := l.Catalog.Get(id)
	return ok
}

// List returns all configurations, the users' own among them, sorted by id.
func (l *Library) List() []Config {
	own, _ := l.Own()
	return slices.SortedFunc(slices.Values(append(l.Catalog.List(), own...)), func(a, b Config) int { return strings.Compare(a.ID, b.ID) })
}

// Get returns the configuration with this id.
func (l *Library) Get(id string) (Config, bool) {
	l.mu.RLock()
	o, ok := l.own[id]
	l.mu.RUnlock()
	if ok && o.err == nil {
		return o.filled, true
	}
	return l.Catalog.Get(id)
}

// Check is Catalog.Check; a Hidden value is good where a change of the configuration with this id would keep what it has.
func (l *Library) Check(text []byte, format Format) Checked {
	return l.checkText(text, format, func(id string) Config {
		l.mu.RLock()
		defer l.mu.RUnlock()
		return l.own[id].given
	})
}

// Own returns the users' own configurations and those of them that can't be used, each sorted by id.
func (l *Library) Own() ([]Config, []Broken) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	list, broken := make([]Config, 0, len(l.own)), []Broken{}
	for _, id := range slices.Sorted(maps.Keys(l.own)) {
		if o := l.own[id]; o.err != nil {
			broken = append(broken, Broken{ID: id, Error: o.err.Error()})
		} else {
			list = append(list, o.filled)
		}
	}
	return list, broken
}

// Origin says where a configuration is from.
type Origin string

// The origins. What is built in is public; the others may hold credentials.
const (
	OriginBuiltin  Origin = "builtin"
	OriginOperator Origin = "operator"
	OriginCustom   Origin = "custom"
)

// Origin says where the configuration with this id is from.
func (l *Library) Origin(id string) Origin {
	l.mu.RLock()
	o, own := l.own[id]
	l.mu.RUnlock()
	switch {
	case own && o.err == nil:
		return OriginCustom
	case l.builtin[id]:
		return OriginBuiltin
	default:
		return OriginOperator
	}
}

// Create keeps a new configuration, given as JSON, and returns it complete. The error is Errors, ErrExists or ErrFull, or that of
// writing the file.
func (l *Library) Create(raw []byte) (Config, error) {
	c, err := ParseJSON(raw)
	if err != nil {
		return Config{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	text, filled, err := l.prepare(c)
	if err != nil {
		return Config{}, err
	}
	_, exists := l.own[c.ID]
	switch {
	case exists || l.taken(c.ID):
		return Config{}, ErrExists
	case len(l.own) >= MaxCustom:
		return Config{}, ErrFull
	}
	return filled, l.keep(c, filled, text)
}

// Replace changes the configuration with this id, whose new form is given as JSON; an id in there must be the same. A value that is
// Hidden stays what it was. The error is Errors or ErrNotFound, or that of writing the file.
func (l *Library) Replace(id string, raw []byte) (Config, error) {
	c, err := ParseJSON(raw)
	if err != nil {
		return Config{}, err
	}
	switch c.ID {
	case id:
	case "":
		c.ID = id
	default:
		return Config{}, Errors{{Field: "id", Message: fmt.Sprintf("must be %s: an id can't be changed", id)}}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	before, ok := l.own[id]
	if !ok {
		return Config{}, ErrNotFound
	}
	c = restored(c, before.given)
	text, filled, err := l.prepare(c)
	if err != nil {
		return Config{}, err
	}
	return filled, l.keep(c, filled, text)
}

// Remove deletes the configuration with this id; the error is ErrNotFound or that of deleting the file. Sessions that were launched
// with it keep theirs.
func (l *Library) Remove(id string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.own[id]; !ok {
		return ErrNotFound
	}
	if err := os.Remove(l.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("deleting configuration %s: %w", id, err)
	}
	delete(l.own, id)
	return nil
}

// prepare checks a configuration that is to be kept, and writes it as YAML that is known to read back as the same.
func (l *Library) prepare(c Config) ([]byte, Config, error) {
	switch {
	case !idForm.MatchString(c.ID):
		return nil, Config{}, Errors{{Field: "id", Message: fmt.Sprintf("must be 1 to 64 characters of a-z, 0-9, _ and -, got %.80q", c.ID)}}
	case reservedID(c.ID):
		return nil, Config{}, Errors{{Field: "id", Message: reservedWords}}
	}
	filled, err := l.Complete(c)
	if err != nil {
		return nil, Config{}, err
	}
	// A preset file must have a name.
	c.Name = filled.Name
	text, err := c.YAML()
	if err != nil {
		return nil, Config{}, Errors{{Message: err.Error()}}
	}
	if len(text) > strict.MaxBytes {
		return nil, Config{}, Errors{{Message: fmt.Sprintf("has %d bytes as YAML, more than %d", len(text), strict.MaxBytes)}}
	}
	back, err := ParseYAML(text)
	if err != nil {
		return nil, Config{}, err
	}
	if !same(back, c) {
		return nil, Config{}, fmt.Errorf("configuration %s does not read back as it was written", c.ID)
	}
	return text, filled, nil
}

func same(a, b Config) bool {
	x, errA := json.Marshal(a)
	y, errB := json.Marshal(b)
	// The parameters of policies have their keys in the order that somebody gave them.
	var p, q any
	return errA == nil && errB == nil && json.Unmarshal(x, &p) == nil && json.Unmarshal(y, &q) == nil && reflect.DeepEqual(p, q)
}

func (l *Library) path(id string) string { return filepath.Join(l.dir, id+".yaml") }

// keep writes the file beside its place and renames it, so that a crash leaves the old one or the new one. It needs mu.
func (l *Library) keep(c, filled Config, text []byte) error {
	if err := write(l.path(c.ID), text); err != nil {
		return fmt.Errorf("writing configuration %s: %w", c.ID, err)
	}
	l.own[c.ID] = owned{given: c, filled: filled}
	return nil
}

func write(path string, text []byte) (err error) {
	// It may hold credentials of MCP servers.
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
