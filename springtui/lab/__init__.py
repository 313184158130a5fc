"""The lab: two sliders, a network that trains and a chain that is pulled."""
