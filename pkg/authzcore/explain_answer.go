package authzcore

// Unmet says that the step's relationship is stored and does not hold: its
// condition is not met or, where there is none, it has expired.
func (s *Step) Unmet() bool {
	if s.Relationship == "" || s.Allowed || len(s.Missing) > 0 {
		return false
	}
	return s.Kind == StepDirect || s.Kind == StepWildcard || len(s.Steps) == 0
}

// settle sets the answers of a step and of all under it.
func (s *Step) settle() Answer {
	if s.Kind == StepCycle {
		return s.Answer // is the engine's
	}
	answers := make([]Answer, len(s.Steps))
	for i, under := range s.Steps {
		answers[i] = under.settle()
	}
	s.Answer = s.combine(answers)
	switch {
	case s.Answer == Allow && !s.Allowed:
		s.Answer = Deny // a part had no answer, or was cut
	case s.Answer == Deny && s.Allowed:
		s.Answer = Allow
	}
	return s.Answer
}

// combine joins the answers of what is under the step with its own.
func (s *Step) combine(answers []Answer) Answer {
	leads := s.Kind == StepUserset || s.Kind == StepFrom
	switch {
	case s.Kind == StepIntersection:
		return allOf(answers)
	case s.Kind == StepExclusion && len(answers) == 2:
		return allOf([]Answer{answers[0], opposite(answers[1])})
	case len(s.Missing) > 0 && leads && len(answers) > 0:
		return allOf([]Answer{Conditional, answers[0]})
	case len(s.Missing) > 0:
		return anyOf(append(answers, Conditional))
	case len(answers) == 0 && s.Allowed:
		return Allow
	default:
		return anyOf(answers)
	}
}

func opposite(a Answer) Answer {
	switch a {
	case Allow:
		return Deny
	case Deny:
		return Allow
	default:
		return Conditional
	}
}

// anyOf is Allow if one is, else Conditional if one is.
func anyOf(answers []Answer) Answer {
	out := Deny
	for _, a := range answers {
		if a == Allow {
			return Allow
		}
		if a == Conditional {
			out = Conditional
		}
	}
	return out
}

// allOf is Deny if one is, else Conditional if one is.
func allOf(answers []Answer) Answer {
	out := Allow
	for _, a := range answers {
		if a == Deny {
			return Deny
		}
		if a == Conditional {
			out = Conditional
		}
	}
	return out
}
