package serve

import (
	"fmt"
	"slices"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// inAnID says what the random part of an id is made of.
const inAnID = "of the digits and the lower-case letters but i, l, o and u"

// words say for people what the regular expressions of the contract ask for. A
// pattern that is not here keeps the validator's text; a test holds the table
// against the contract.
var words = wordsOfPatterns()

// ids are the kinds of ids that requests name: whose they are, how long, and the
// command that shows them.
var ids = []struct {
	prefix, whose string
	length        int
	shownBy       string
}{
	{"org", "an organization's", 26, "meridian org list"},
	{"mdl", "a model's", 32, "meridian model list"},
	{"tok", "a token's", 26, "meridian token list"},
	{"usr", "a user's", 26, "meridian user list"},
	{"grp", "a group's", 26, "meridian group list"},
	{"svc", "a service account's", 26, "meridian service-account list"},
	{"inv", "an invitation's", 26, "meridian invite list"},
	{"dom", "a domain's", 26, "meridian domain list"},
	{"crd", "a credential's", 26, "meridian credential list"},
	{"aut", "an authentication's", 26, ""},
}

func wordsOfPatterns() map[string]string {
	const (
		region = "a region's name: 1 to 32 lower-case letters, digits and hyphens, as eu-1, that begin with a letter and do not end with a hyphen"
		locale = "a language tag, as en or de-AT"
	)
	all := map[string]string{
		"^(usr|svc|grp)_[0-9a-hjkmnp-tv-z]{26}$":         "must be the id of a user, a service account or a group: usr_, svc_ or grp_ and 26 " + inAnID,
		"^[a-z][a-z0-9_-]{0,62}$":                        "must be a role's id: a lower-case letter, and at most 62 more lower-case letters, digits, _ and -",
		"^[a-z0-9](-?[a-z0-9]){1,62}$":                   "must be a slug: 2 to 63 lower-case letters and digits, with single hyphens between them, as acme-europe",
		"^[a-z0-9-]{0,63}$":                              "must be the beginning of a slug: lower-case letters, digits and hyphens, 63 at most",
		"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$":           "must be a source's name: 1 to 63 lower-case letters, digits and hyphens, as legacy-console",
		"^([a-z]([a-z0-9-]{0,30}[a-z0-9])?)?$":           "must be empty or " + region,
		"^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$":              "must be " + region,
		"^([a-zA-Z]{2,8}(-[a-zA-Z0-9]{1,8}){0,4})?$":     "must be empty or " + locale,
		"^[a-zA-Z]{2,8}(-[a-zA-Z0-9]{1,8}){0,4}$":        "must be " + locale,
		`^meridian\.[a-z]+\.v1\.[A-Za-z]+(/[A-Za-z]+)?$`: "must be the full name of a service or procedure, as meridian.authz.v1.CheckService/Check",
		"^(https?://.+)?$":                               "must be empty or begin with https://",
		"^[!-~]*$":                                       "must be of printable ASCII characters, without spaces",
		`^[^\p{Cc}\p{Cf}\p{Co}\p{Cs}]*$`:                 "must not have control, formatting or private-use characters",
		`^[^\p{Cc}\p{Cf}]*$`:                             "must not have control or formatting characters",
	}
	for _, id := range ids {
		pattern := fmt.Sprintf("%s_[0-9a-hjkmnp-tv-z]{%d}", id.prefix, id.length)
		text := fmt.Sprintf("%s id: %s_ and %d %s", id.whose, id.prefix, id.length, inAnID)
		if id.shownBy != "" {
			text += "; `" + id.shownBy + "` shows them"
		}
		all["^"+pattern+"$"] = "must be " + text
		all["^("+pattern+")?$"] = "must be empty or " + text
	}
	return all
}

// wordsFor returns what is wrong with a field, for people.
func wordsFor(broken *protovalidate.Violation) string {
	switch broken.Proto.GetRuleId() {
	case "string.pattern":
		if broken.RuleValue.IsValid() {
			if text, known := words[broken.RuleValue.String()]; known {
				return text
			}
		}
	case "enum.not_in", "enum.defined_only":
		if names := choices(broken.FieldDescriptor); len(names) > 0 {
			return "must be one of " + strings.Join(names, ", ")
		}
	}
	return broken.Proto.GetMessage()
}

// choices are the names that the rules of a field with an enum allow, as JSON
// has them; nil when it has none.
func choices(field protoreflect.FieldDescriptor) []string {
	if field == nil || field.Enum() == nil {
		return nil
	}
	rules, _ := proto.GetExtension(field.Options(), validate.E_Field).(*validate.FieldRules)
	refused := rules.GetEnum().GetNotIn()
	if field.IsList() {
		refused = rules.GetRepeated().GetItems().GetEnum().GetNotIn()
	}
	var names []string
	for i := range field.Enum().Values().Len() {
		value := field.Enum().Values().Get(i)
		if !slices.Contains(refused, int32(value.Number())) {
			names = append(names, string(value.Name()))
		}
	}
	return names
}
