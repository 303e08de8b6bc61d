package workspace

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// spool keeps an upload until all of it is there: its files one after the other in one file that has no name, so that nothing is
// left of it whatever happens. The agent server needs a file's size before its content, and HTTP doesn't tell it.
type spool struct {
	f     *os.File
	size  int64
	files []spooled
}

type spooled struct {
	name        string
	begin, size int64
}

// takeIn reads a whole upload within the limits. The caller closes the spool.
func (s *Service) takeIn(next func() (string, io.Reader, error)) (_ *spool, err error) {
	f, err := os.CreateTemp(s.cfg.SpoolDir, "agcluster-upload-")
	if err != nil {
		return nil, fmt.Errorf("making room for an upload: %w", err)
	}
	in := &spool{f: f}
	defer func() {
		if err != nil {
			in.close()
		}
	}()
	if err := os.Remove(f.Name()); err != nil {
		return nil, fmt.Errorf("making room for an upload: %w", err)
	}
	for {
		name, r, err := next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading the upload: %w", err)
		}
		if err := in.add(name, r, s.cfg); err != nil {
			return nil, err
		}
	}
	if len(in.files) == 0 {
		return nil, &InvalidError{"files", "has no file in it"}
	}
	return in, nil
}

func (s *spool) add(name string, r io.Reader, cfg Config) error {
	if len(s.files) == cfg.MaxUploadFiles {
		return &TooLargeError{What: "files", Limit: int64(cfg.MaxUploadFiles), Got: int64(cfg.MaxUploadFiles) + 1}
	}
	if err := checkName(name); err != nil {
		return err
	}
	if slices.ContainsFunc(s.files, func(f spooled) bool { return f.name == name }) {
		return &InvalidPathError{name, "is in the upload twice"}
	}
	left := cfg.MaxUploadBytes - s.size
	n, err := io.Copy(s.f, io.LimitReader(r, min(cfg.MaxFileBytes, left)+1))
	switch {
	case err != nil:
		return fmt.Errorf("reading %q of the upload: %w", name, err)
	case n > cfg.MaxFileBytes:
		return &TooLargeError{What: "file", Name: name, Limit: cfg.MaxFileBytes, Got: n}
	case n > left:
		return &TooLargeError{What: "upload", Limit: cfg.MaxUploadBytes, Got: s.size + n}
	}
	s.files = append(s.files, spooled{name, s.size, n})
	s.size += n
	return nil
}

func (s *spool) open(f spooled) io.Reader { return io.NewSectionReader(s.f, f.begin, f.size) }

func (s *spool) close() {
	_ = s.f.Close() // its content is not wanted any more
}
