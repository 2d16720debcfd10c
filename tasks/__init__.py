"""One Prefect task per step, thin: arguments in, domain call, result out."""
