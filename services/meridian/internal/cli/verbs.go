package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// revised is the answer to a change.
type revised interface {
	proto.Message
	GetRevision() string
}

// did prints the answer to a change, unless the call failed: JSON for machines,
// else what was done, as created, to what.
func (a *App) did(answer revised, err error, done, what string) error {
	if err != nil {
		return err
	}
	if a.json {
		return a.printMessage(answer)
	}
	return a.changed(done, what, answer.GetRevision())
}

// show prints the answer to a question, unless the call failed: JSON for
// machines, else pairs of a label and a value, those with a value.
func (a *App) show(answer proto.Message, err error, pairs ...string) error {
	if err != nil {
		return err
	}
	if a.json {
		return a.printMessage(answer)
	}
	width := 0
	for i := 0; i < len(pairs); i += 2 {
		width = max(width, len(pairs[i]))
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(a.stdout, "%-*s  %s\n", width, pairs[i], pairs[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// identityPage is how many a page of a list of identity has at most.
const identityPage = 200

// pageFor is the size of pages for a limit; 0 is no limit.
func pageFor(limit int) uint32 {
	if limit <= 0 || limit >= identityPage {
		return identityPage
	}
	return uint32(limit)
}

// enumeration is an enum of the contract, whose names have its name before them.
type enumeration interface {
	~int32
	protoreflect.Enum
}

func enumPrefix(of protoreflect.EnumDescriptor) string {
	return strings.TrimSuffix(string(of.Values().ByNumber(0).Name()), "UNSPECIFIED")
}

// enumWord is how people read a value: active of USER_STATE_ACTIVE, empty for
// none.
func enumWord(e protoreflect.Enum) string {
	value := e.Descriptor().Values().ByNumber(e.Number())
	if e.Number() == 0 || value == nil {
		return ""
	}
	return enumText(value)
}

func enumText(value protoreflect.EnumValueDescriptor) string {
	of, _ := value.Parent().(protoreflect.EnumDescriptor) // that is what has values
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(string(value.Name()), enumPrefix(of))), "_", "-")
}

// enumWords are the words for all values.
func enumWords[E enumeration]() string {
	var none E
	values, words := none.Descriptor().Values(), []string(nil)
	for i := range values.Len() {
		if value := values.Get(i); value.Number() != 0 {
			words = append(words, enumText(value))
		}
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// choose reads the word for a value; empty is none. what names the flag or
// argument.
func choose[E enumeration](what, word string) (E, error) {
	var none E
	if word == "" {
		return none, nil
	}
	values := none.Descriptor().Values()
	for i := range values.Len() {
		if value := values.Get(i); value.Number() != 0 && enumText(value) == word {
			return E(value.Number()), nil
		}
	}
	return none, fmt.Errorf("%s %q: must be %s", what, word, enumWords[E]())
}

// given is a flag's value, nil when the flag was not given.
func given[T any](cmd *cobra.Command, flag string, value *T) *T {
	if !cmd.Flags().Changed(flag) {
		return nil
	}
	return value
}

// timeText is a time for people, empty for none.
func timeText(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().Format(time.RFC3339)
}

// yesNo is a bool for people.
func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// words joins what is not empty.
func words(texts ...string) string {
	var out []string
	for _, t := range texts {
		if t != "" {
			out = append(out, t)
		}
	}
	return strings.Join(out, "  ")
}

// terminal returns the file that people type into, nil when it is none.
func (a *App) terminal() *os.File {
	if f, ok := a.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// confirmed asks for a yes, unless --yes said it. Where nobody can be asked it
// is an error, and any other answer than yes is errNo.
func (a *App) confirmed(ctx context.Context, yes bool, question string) error {
	if yes {
		return nil
	}
	tty := a.terminal()
	if tty == nil {
		return errors.New("this cannot be taken back: give --yes to do it")
	}
	fmt.Fprint(a.stderr, question+" Type yes to go on: ")
	typed, err := a.typed(ctx, tty, func() ([]byte, error) {
		line, err := bufio.NewReader(io.LimitReader(tty, 1<<10)).ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return line, err
	})
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(typed)) != "yes" {
		fmt.Fprintln(a.stderr, "nothing was done")
		return errNo
	}
	return nil
}

// typed waits for what somebody types, or for ctx, and leaves the terminal as it
// was.
func (a *App) typed(ctx context.Context, tty *os.File, read func() ([]byte, error)) ([]byte, error) {
	before, err := term.GetState(int(tty.Fd()))
	if err != nil {
		return nil, fmt.Errorf("terminal: %w", err)
	}
	type result struct {
		text []byte
		err  error
	}
	got := make(chan result, 1)
	go func() {
		text, err := read()
		got <- result{text, err}
	}()
	select {
	case r := <-got:
		return r.text, r.err
	case <-ctx.Done():
		// The read goes on until the process ends.
		fmt.Fprintln(a.stderr)
		return nil, errors.Join(errors.New("interrupted; nothing was done"), term.Restore(int(tty.Fd()), before))
	}
}
