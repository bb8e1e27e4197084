package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/meridian-iam/meridian/e2e/load/target"
	"github.com/meridian-iam/meridian/e2e/load/usage"
	"github.com/meridian-iam/meridian/pkg/secret"
)

// The modes.
const (
	modeLoad         = "load"
	modeCheck        = "check"
	modeBatch        = "batch"
	modeList         = "list"
	modeVisible      = "visible"
	modeEmbedded     = "embedded"
	modeEmbeddedList = "embedded-list"
)

var modes = []string{modeLoad, modeCheck, modeBatch, modeList, modeVisible, modeEmbedded, modeEmbeddedList}

// The targets.
const (
	targetMeridian = "meridian"
	targetOpenFGA  = "openfga"
	targetEcho     = "echo"
)

// What answers may miss.
const (
	readFast   = "fast"
	readStrong = "strong"
	readToken  = "token"
)

type options struct {
	target       string
	url          string
	token        secret.String
	mode         string
	label        string
	workset      string
	organization string
	state        string
	split        bool
	http2, pages bool
	read         string
	workers      int
	seconds      int
	warmup       int
	rounds       int
	batch        int
	hot          int
	profile      string
	who          usage.Who
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("drive", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.target, "target", targetMeridian, "meridian, openfga or echo")
	f.StringVar(&o.url, "url", "http://127.0.0.1:8080", "where it answers; host:port for openfga")
	token := f.String("token", os.Getenv("MERIDIAN_TOKEN"), "meridian: platform token with level admin; absent: $MERIDIAN_TOKEN")
	f.StringVar(&o.mode, "mode", modeCheck, strings.Join(modes, ", ")+"; the last two need no target")
	f.StringVar(&o.label, "label", "", "is printed with the result")
	f.StringVar(&o.workset, "workset", "", "folder of the work set (required)")
	f.StringVar(&o.organization, "organization", "", "meridian: use this organization; absent: load makes one, and the other modes find it in -state")
	f.StringVar(&o.state, "state", "", "file in which load keeps what the other modes need to know")
	f.BoolVar(&o.split, "split", false, "meridian: an organization for each one of the work set, instead of one for all")
	f.BoolVar(&o.http2, "http2", false, "meridian: HTTP/2 instead of HTTP/1.1")
	f.BoolVar(&o.pages, "pages", false, "meridian: list page by page instead of in a stream")
	f.StringVar(&o.read, "read", readFast, "fast, strong (see every earlier write), or, in mode visible, token (see the write before)")
	f.IntVar(&o.workers, "workers", 8, "calls at the same time")
	f.IntVar(&o.seconds, "seconds", 10, "how long to measure (not in load and visible)")
	f.IntVar(&o.warmup, "warmup", 2, "seconds before that")
	f.IntVar(&o.rounds, "rounds", 100, "visible: relationships to write and delete")
	f.IntVar(&o.batch, "batch", 0, "load: relationships in a call, absent: 5000 (openfga: 100); batch: checks in a call, absent: 100")
	f.IntVar(&o.hot, "hot", 0, "check: ask only the first of this many checks, over and over; 0 asks all")
	f.StringVar(&o.profile, "profile", "", "write a processor profile of this program into the file")
	f.IntVar(&o.who.Server, "server-pid", 0, "the server's process, for its processor time and memory")
	f.IntVar(&o.who.Database, "database-pid", 0, "the process of its database server")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.token = secret.NewString(*token)
	if o.batch == 0 {
		o.batch = o.batchSize()
	}
	return o, o.validate(f.NArg())
}

func (o options) batchSize() int {
	if o.mode == modeLoad && o.target == targetMeridian {
		return 5000
	}
	return 100
}

// embedded: the engine is in this process.
func (o options) embedded() bool { return o.mode == modeEmbedded || o.mode == modeEmbeddedList }

func (o options) freshness() target.Freshness { return target.Freshness{Strong: o.read == readStrong} }

func (o options) validate(arguments int) error {
	switch {
	case arguments > 0:
		return errors.New("flags only: there is an argument too many")
	case !slices.Contains(modes, o.mode):
		return fmt.Errorf("-mode is %q: must be one of %s", o.mode, strings.Join(modes, ", "))
	case o.workset == "":
		return errors.New("-workset is required")
	case o.read != readFast && o.read != readStrong && (o.read != readToken || o.mode != modeVisible):
		return fmt.Errorf("-read is %q: must be fast, strong or, in mode visible, token", o.read)
	case o.split && o.organization != "":
		return errors.New("-split and -organization exclude each other")
	}
	if err := o.validateTarget(); err != nil {
		return err
	}
	for name, n := range map[string]int{"workers": o.workers, "seconds": o.seconds, "rounds": o.rounds, "batch": o.batch} {
		if n < 1 || n > 10_000 {
			return fmt.Errorf("-%s is %d: must be from 1 to 10000", name, n)
		}
	}
	if o.warmup < 0 || o.hot < 0 {
		return errors.New("-warmup and -hot must not be negative")
	}
	return nil
}

func (o options) validateTarget() error {
	base, err := url.Parse(o.url)
	switch {
	case o.embedded():
		return nil
	case o.target == targetOpenFGA && (o.split || o.organization != ""):
		return errors.New("-split and -organization are for meridian only")
	case o.target == targetOpenFGA && o.state == "":
		return errors.New("-state is required, to know the store")
	case o.target == targetOpenFGA:
		return nil
	case err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https"):
		return errors.New("-url must be as http://host:port or https://host:port")
	case o.target == targetEcho && o.mode == modeCheck:
		return nil
	case o.target != targetMeridian:
		return fmt.Errorf("-target is %q: must be meridian, openfga or, in mode check, echo", o.target)
	case o.token.IsZero():
		return errors.New("-token is required")
	case o.state == "" && (o.split || o.mode != modeLoad && o.organization == ""):
		return errors.New("-state is required, to know the organizations")
	}
	return nil
}

// open returns the target.
func (o options) open() (target.Target, error) {
	switch o.target {
	case targetOpenFGA:
		return target.NewOpenFGA(target.OpenFGAOptions{Address: o.url, State: o.state, Connections: min(o.workers, 4)})
	case targetEcho:
		return target.NewEcho(o.url, o.http2, o.workers), nil
	default:
		return target.NewMeridian(target.MeridianOptions{
			URL: o.url, Token: o.token, Organization: o.organization, State: o.state, Split: o.split,
			HTTP2: o.http2, Pages: o.pages, Connections: o.workers,
		}), nil
	}
}
