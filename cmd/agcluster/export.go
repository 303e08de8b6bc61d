package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/agcluster/agcluster/core/api"
)

func exportCommand(g *globals) *cobra.Command {
	var out, exporter string
	var force bool
	cmd := &cobra.Command{
		Use: "export SESSION [PATH…]", Short: "Export a session's workspace, or some of its files, as an archive", Args: cobra.MinimumNArgs(1),
		Example: "  agcluster export conv-0f1e2d -o result.zip src docs",
		RunE: g.action(func(ctx context.Context, c *client, args []string) error {
			id, err := g.session(ctx, c, args[0])
			if err != nil {
				return err
			}
			body := api.ExportBody{Exporter: exporter}
			for _, p := range args[1:] {
				if !utf8.ValidString(p) {
					return usagef("%s: a name that is no UTF-8 can only be exported with its folder", visible(p, false))
				}
				body.Paths = append(body.Paths, inWorkspace(p))
			}
			if out == "-" && isTerminal(g.out) {
				return usagef("an archive does not belong on a terminal; use -o FILE, or a pipe")
			}
			res, err := c.do(ctx, request{method: http.MethodPost, path: "/api/files/" + url.PathEscape(id) + "/download", in: body}) //nolint:bodyclose // save closes it
			if err != nil {
				return err
			}
			return g.save(res, saveRequest{to: out, name: offered(res, id+".zip"), force: force})
		}),
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "file or folder to write to, - is the standard output (default: a file here, named after the session)")
	cmd.Flags().StringVar(&exporter, "exporter", "", "exporter that makes the archive; zip without it")
	cmd.Flags().BoolVarP(&force, "force", "f", false, "replace a file that is there already, also without -o")
	return cmd
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$`)

// offered is the file name that the host offers, when it is a harmless one.
func offered(res *http.Response, otherwise string) string {
	_, params, err := mime.ParseMediaType(res.Header.Get("Content-Disposition"))
	name := params["filename"]
	if err != nil || !plainName.MatchString(name) {
		return otherwise
	}
	return name
}

// saveRequest says where a transfer goes.
type saveRequest struct {
	// to is a file, a folder, "-", or "" for name here.
	to, name string
	// force replaces a file that nobody named.
	force bool
}

// saved is what --json prints of a transfer.
type saved struct {
	Path string `json:"path"`
	Size int64  `json:"size_bytes"`
}

// save takes in a transfer: all of it, or nothing is there. It closes res.
func (g *globals) save(res *http.Response, r saveRequest) (err error) {
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	if res.ContentLength < 0 && !slices.Contains(res.TransferEncoding, "chunked") && res.ProtoMajor < 2 {
		return errors.New("the answer does not tell where it ends, so that half a file could pass for a whole one")
	}
	if r.to == "-" {
		w := g.out
		if isTerminal(g.out) {
			w = &safeWriter{w: g.out}
		}
		_, err := io.Copy(w, res.Body)
		return broken(err)
	}
	target, named := r.to, r.to != ""
	if !named {
		target = r.name
	} else if info, err := os.Stat(target); (err == nil && info.IsDir()) || strings.HasSuffix(target, string(filepath.Separator)) {
		target, named = filepath.Join(target, r.name), false
	}
	n, err := writeFile(target, named || r.force, res.Body)
	if err != nil {
		return err
	}
	if g.json {
		raw, err := json.Marshal(saved{target, n})
		return g.orJSON(raw, err)
	}
	_, err = fmt.Fprintf(g.out, "%s  %s\n", visible(target, false), size(n))
	return err
}

func broken(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the transfer broke off%w", silent{err})
	}
	return err
}

// writeFile writes r to a file beside target and puts it in its place when it is whole.
func writeFile(target string, replace bool, r io.Reader) (n int64, err error) {
	info, err := os.Stat(target)
	switch {
	case err == nil && !replace:
		return 0, there(target)
	case err == nil && !info.Mode().IsRegular():
		return writeInto(target, r) // a device or a pipe is not to be replaced by a file
	case err == nil:
		// A link stays one: what it points to is replaced.
		if target, err = filepath.EvalSymlinks(target); err != nil {
			return 0, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return 0, err
	}
	temp := filepath.Join(filepath.Dir(target), ".agcluster-"+strconv.FormatUint(rand.Uint64(), 36)) //nolint:gosec // O_EXCL sees to it that it is new
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)                            //nolint:gosec // the umask decides, as for any file that people make
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temp))
		}
	}()
	n, err = io.Copy(f, r)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(broken(err), f.Close()); err != nil {
		return n, err
	}
	if replace {
		return n, os.Rename(temp, target)
	}
	// A link, unlike a rename, replaces nothing that came to be there meanwhile. Not all file systems have links.
	switch err := os.Link(temp, target); {
	case err == nil:
		return n, os.Remove(temp)
	case errors.Is(err, fs.ErrExist):
		return n, there(target)
	default:
		return n, os.Rename(temp, target)
	}
}

func there(target string) error {
	return fmt.Errorf("%s is there already; -f replaces it, -o names another", visible(target, false))
}

func writeInto(target string, r io.Reader) (n int64, err error) {
	f, err := os.OpenFile(target, os.O_WRONLY, 0)
	if err != nil {
		return 0, err
	}
	n, err = io.Copy(f, r)
	return n, errors.Join(broken(err), f.Close())
}
