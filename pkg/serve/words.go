package serve

import (
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
var words = map[string]string{
	"^org_[0-9a-hjkmnp-tv-z]{26}$":         "must be an organization's id: org_ and 26 " + inAnID + "; `meridian org list` shows them",
	"^(org_[0-9a-hjkmnp-tv-z]{26})?$":      "must be empty or an organization's id: org_ and 26 " + inAnID + "; `meridian org list` shows them",
	"^mdl_[0-9a-hjkmnp-tv-z]{32}$":         "must be a model's id: mdl_ and 32 " + inAnID + "; `meridian model list` shows them",
	"^(mdl_[0-9a-hjkmnp-tv-z]{32})?$":      "must be empty or a model's id: mdl_ and 32 " + inAnID + "; `meridian model list` shows them",
	"^tok_[0-9a-hjkmnp-tv-z]{26}$":         "must be a token's id: tok_ and 26 " + inAnID + "; `meridian token list` shows them",
	"^[a-z][a-z0-9_-]{0,62}$":              "must be a role's id: a lower-case letter, and at most 62 more lower-case letters, digits, _ and -",
	"^[a-z0-9](-?[a-z0-9]){1,62}$":         "must be a slug: 2 to 63 lower-case letters and digits, with single hyphens between them, as acme-europe",
	"^([a-z]([a-z0-9-]{0,30}[a-z0-9])?)?$": "must be empty or a region's name: 1 to 32 lower-case letters, digits and hyphens, as eu-1, that begin with a letter and do not end with a hyphen",
	"^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$":    "must be a region's name: 1 to 32 lower-case letters, digits and hyphens, as eu-1, that begin with a letter and do not end with a hyphen",
	"^[!-~]*$":                             "must be of printable ASCII characters, without spaces",
	`^[^\p{Cc}\p{Cf}\p{Co}\p{Cs}]*$`:       "must not have control, formatting or private-use characters",
	`^[^\p{Cc}\p{Cf}]*$`:                   "must not have control or formatting characters",
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
