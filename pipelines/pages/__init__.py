"""What report and review draw with: charts, players, pictures, text. Free of Beam."""
