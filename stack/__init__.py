"""Infrastructure that the stages share. It calls no AWS client: what it makes, Pulumi deploys."""
