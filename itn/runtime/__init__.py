"""What any long job needs: errors with a cure, several processes, a folder that can be resumed."""
