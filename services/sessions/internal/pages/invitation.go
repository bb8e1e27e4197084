package pages

// Invitation asks whether somebody joins an organization. The form posts token and
// decision: accept, decline, sign_in or sign_up.
type Invitation struct {
	Frame

	Token string
	// Organization is its name, Role member or admin, and Email who is asked.
	Organization, Role, Email string
	// User is the address of who is signed in; "": nobody is. Addressed: it is who is
	// asked.
	User      string
	Addressed bool
	Problem   Problem
	// Over: the invitation cannot be used. Joined and Declined: it was.
	Over, Joined, Declined bool
}

func (Invitation) name() string { return "invitation" }
