package bus

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/meridian-iam/meridian/pkg/revision"
)

// eventType is the full name of an event's message.
var eventType = regexp.MustCompile(`^meridian\.([a-z][a-z0-9_]{0,31})\.event\.v[0-9]{1,3}\.([A-Z][A-Za-z0-9]{0,63})$`)

// anyType is the full name of any message.
var anyType = regexp.MustCompile(`^[A-Za-z0-9_.]{1,512}$`)

// StreamName is the stream that a region's relay writes: LOG_EU_WEST for
// eu-west.
func StreamName(region string) string { return "LOG_" + upper(region) }

// MirrorName is the copy of another region's stream that a region keeps. All
// regions share one account, so the name says where the copy is.
func MirrorName(of, at string) string { return StreamName(of) + "_MIRROR_" + upper(at) }

func upper(region string) string {
	return strings.ReplaceAll(strings.ToUpper(region), "-", "_")
}

// Subject is where an event is published: log.<relay region>.<log>.<service>.<EventType>.
// A type that is not of the form meridian.<service>.event.v1.<EventType> goes to
// the service "_", with its dots as underscores: no event is ever stuck in the
// outbox because of its name.
func Subject(region, log, typ string) (string, error) {
	if !revision.ValidLog(log) {
		return "", fmt.Errorf("log: %q is not the id of a log", log)
	}
	if parts := eventType.FindStringSubmatch(typ); parts != nil {
		return "log." + region + "." + log + "." + parts[1] + "." + parts[2], nil
	}
	if !anyType.MatchString(typ) {
		return "", errors.New("type: not the name of a message of at most 512 characters")
	}
	return "log." + region + "." + log + "._." + strings.ReplaceAll(typ, ".", "_"), nil
}

// logFilter matches every event of a log, whoever relayed it.
func logFilter(log string) string { return "log.*." + log + ".>" }

// logOf returns the log that a subject is about, or "".
func logOf(subject string) string {
	_, rest, _ := strings.Cut(subject, ".")
	_, rest, _ = strings.Cut(rest, ".")
	log, _, ok := strings.Cut(rest, ".")
	if !ok {
		return ""
	}
	return log
}

// messageID is the value of Nats-Msg-Id.
func messageID(log string, sequence uint64) string {
	return log + ":" + strconv.FormatUint(sequence, 10)
}

// parseMessageID is the inverse of messageID. ok is false for anything else.
func parseMessageID(id string) (log string, sequence uint64, ok bool) {
	log, digits, found := strings.Cut(id, ":")
	if !found || log == "" || len(digits) > 20 {
		return "", 0, false
	}
	sequence, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || sequence == 0 {
		return "", 0, false
	}
	return log, sequence, true
}
