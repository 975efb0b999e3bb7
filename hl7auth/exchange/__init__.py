"""Profiles of other tools: HL7's XML message profiles and NIST's bundles, read into ours; ours written as HL7's."""
