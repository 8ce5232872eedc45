package check

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Disk reads what configurations include.
type Disk struct {
	Read func(name string) ([]byte, error)
	Glob func(pattern string) (names []string, err error)
}

// maxIncluded is how often files may be included. nginx has no limit of its own.
const maxIncluded = 1000

// shipped are files of nginx's packages that guard nothing. They may be missing where a configuration is checked.
var shipped = []string{"mime.types", "proxy_params", "fastcgi_params", "fastcgi.conf", "uwsgi_params", "scgi_params"}

// placedError is an error that begins with its place.
type placedError struct{ error }

// includer puts files in the place of the directives that include them.
type includer struct {
	*checker
	disk *Disk  // nil: nothing is included
	base string // the folder of relative names
	all  int
}

// expand puts what a block includes in its place. within lists the files that are being read.
func (i *includer) expand(d *directive, within []string) error {
	var block []*directive
	for _, b := range d.block {
		if b.name() != "include" || i.disk == nil {
			if err := i.expand(b, within); err != nil {
				return err
			}
			block = append(block, b)
			continue
		}
		names, err := i.names(b.arg(0))
		if err != nil {
			return i.placed(b, err)
		}
		for _, name := range names {
			root, err := i.file(b, name, within)
			if err != nil {
				return err
			}
			for _, inner := range root.block {
				inner.parent = d
			}
			block = append(block, root.block...)
		}
	}
	d.block = block
	return nil
}

func (i *includer) placed(d *directive, err error) error {
	return placedError{fmt.Errorf("%s:%d:%d: include %s: %w", d.file, d.pos.Line, d.pos.Column, d.arg(0), err)}
}

// names lists the files of an include. A pattern may have none.
func (i *includer) names(pattern string) ([]string, error) {
	if pattern == "" {
		return nil, errors.New("expected a file, or a pattern")
	}
	if !path.IsAbs(pattern) && !filepath.IsAbs(pattern) {
		pattern = filepath.Join(i.base, pattern)
	}
	names, err := i.disk.Glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("%w, expected a pattern such as conf.d/*.conf", err)
	}
	if len(names) == 0 && !strings.ContainsAny(pattern, "*?[") && !slices.Contains(shipped, filepath.Base(pattern)) {
		return nil, fmt.Errorf("there is no %s; nginx takes names from the folder of nginx.conf. Expected the whole configuration, such as of `nginx -T | patgate front-check -`", pattern)
	}
	slices.Sort(names)
	return names, nil
}

// file reads an included file, and what it includes.
func (i *includer) file(from *directive, name string, within []string) (*directive, error) {
	if slices.Contains(within, name) {
		return nil, i.placed(from, fmt.Errorf("%s includes itself (%s), expected no loop", name, strings.Join(append(within, name), " > ")))
	}
	if i.all++; i.all > maxIncluded {
		return nil, i.placed(from, fmt.Errorf("more than %d files are included", maxIncluded))
	}
	data, err := i.disk.Read(name)
	if err != nil {
		return nil, i.placed(from, err)
	}
	i.included = append(i.included, File{name, data})
	root, err := parseFile(name, data)
	if err != nil {
		return nil, placedError{fmt.Errorf("%s%w", name, err)}
	}
	return root, i.expand(root, append(slices.Clone(within), name))
}

// parseFile reads a file of nginx.
func parseFile(name string, data []byte) (*directive, error) {
	root, err := parse(string(data), false)
	if err == nil {
		root.walk(func(d *directive) { d.file = name })
	}
	return root, err
}

// baseOf is the folder from which nginx takes relative names: that of nginx.conf, beside the file or above it.
func baseOf(disk *Disk, name string) string {
	own := filepath.Dir(name)
	for dir := own; ; {
		if names, err := disk.Glob(filepath.Join(dir, "nginx.conf")); err == nil && len(names) > 0 {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return own
		}
		dir = up
	}
}

// section begins a file in what `nginx -T` prints.
var section = regexp.MustCompile(`(?m)^# configuration file (.+):\r?\n`)

// dump takes the output of `nginx -T` apart into files, of which the first is the main one.
func dump(data []byte) (files []File) {
	places := section.FindAllSubmatchIndex(data, -1)
	for n, at := range places {
		end := len(data)
		if n+1 < len(places) {
			end = places[n+1][0]
		}
		files = append(files, File{string(data[at[2]:at[3]]), data[at[1]:end]})
	}
	return files
}

// diskOf has the files of a dump.
func diskOf(files []File) *Disk {
	return &Disk{
		Read: func(name string) ([]byte, error) {
			for _, f := range files {
				if f.Name == name {
					return f.Data, nil
				}
			}
			return nil, errors.New("not in the output")
		},
		Glob: func(pattern string) (names []string, err error) {
			for _, f := range files {
				match, err := path.Match(pattern, f.Name)
				if err != nil {
					return nil, err
				}
				if match || f.Name == pattern {
					names = append(names, f.Name)
				}
			}
			return names, nil
		},
	}
}
