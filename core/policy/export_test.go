package policy

// Lapse puts a module that nobody asks to rest, as time would.
func (m *Module) Lapse() { m.rest.lapse() }

// Resting says whether the module has given back what it takes.
func (m *Module) Resting() bool { return m.rest.resting() }
