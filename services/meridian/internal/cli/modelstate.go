package cli

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
)

func (a *App) modelState() *cobra.Command {
	cmd := &cobra.Command{
		Use: "state MODEL canary|active|retired", Args: cobra.ExactArgs(2),
		Short: "Move a model through its life",
		Long: `The models of one name are a line. Organizations that follow it use its active model, or its canary;
they are moved in the background, one after another (see meridian model rollout). Making a model active retires the one before; a retired one can come back.`,
		Example: `  meridian model state mdl_… canary --organizations org_…,org_… --percent 5
  meridian model state mdl_… active
  meridian model state mdl_… retired`,
	}
	organizations := cmd.Flags().StringSlice("organizations", nil, "canary: these organizations")
	percent := cmd.Flags().Float64("percent", 0, "canary: this share of the others, from 0 to 100")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		req := &authzv1.SetModelStateRequest{Model: args[0], IdempotencyKey: newKey()}
		value, ok := authzv1.ModelState_value["MODEL_STATE_"+strings.ToUpper(args[1])]
		if !ok || args[1] != strings.ToLower(args[1]) {
			return fmt.Errorf("%q is no state: must be canary, active or retired", args[1])
		}
		req.State = authzv1.ModelState(value)
		audience := cmd.Flags().Changed("organizations") || cmd.Flags().Changed("percent")
		switch canary := req.GetState() == authzv1.ModelState_MODEL_STATE_CANARY; {
		case canary && !audience:
			return errors.New("for whom is the canary? give --organizations, --percent or both")
		case !canary && audience:
			return errors.New("--organizations and --percent are for canary only")
		case canary:
			points, err := basisPoints(*percent)
			if err != nil {
				return err
			}
			req.Canary = &authzv1.Canary{Organizations: *organizations, BasisPoints: points}
		}
		client, err := a.client()
		if err != nil {
			return err
		}
		answer, err := client.Models.SetModelState(cmd.Context(), req)
		if err != nil {
			return err
		}
		if a.json {
			return a.printMessage(answer)
		}
		m := answer.GetModel()
		err = a.changed("moved", m.GetId()+"  "+m.GetName()+"  "+stateText(m), answer.GetRevision())
		if err == nil && m.GetState() != authzv1.ModelState_MODEL_STATE_RETIRED {
			_, err = fmt.Fprintf(a.stdout, "organizations that follow the line are moved in the background; how far it is:\n  meridian model rollout %s\n", quoted(m.GetName()))
		}
		return err
	}
	return cmd
}

// basisPoints turns a percentage into hundredths of a percent.
func basisPoints(percent float64) (uint32, error) {
	points := math.Round(percent * 100)
	if !(percent >= 0 && percent <= 100) || math.Abs(points-percent*100) > 1e-6 {
		return 0, fmt.Errorf("--percent %v: must be from 0 to 100, in steps of 0.01", percent)
	}
	return uint32(points), nil
}

// stateText is a model's state for people, as: canary 5 % + 2.
func stateText(m *authzv1.Model) string {
	word := strings.ToLower(strings.TrimPrefix(m.GetState().String(), "MODEL_STATE_"))
	if m.GetState() != authzv1.ModelState_MODEL_STATE_CANARY {
		return word
	}
	share := strconv.FormatFloat(float64(m.GetCanary().GetBasisPoints())/100, 'f', -1, 64)
	text := word + " " + share + " %"
	if n := len(m.GetCanary().GetOrganizations()); n > 0 {
		text += fmt.Sprintf(" + %d", n)
	}
	return text
}
