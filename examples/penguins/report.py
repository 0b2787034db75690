"""Draw body mass against flipper length of three species of penguins; write `report.png` beside this file."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # a report needs no window

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent


def main() -> None:
    penguins = pd.read_csv(HERE / "penguins.csv").dropna(subset=["flipper_length_mm", "body_mass_g"])
    figure, (scatter, table) = plt.subplots(
        1, 2, figsize=(10, 4.5), width_ratios=(3, 2), layout="constrained"
    )
    for species, group in penguins.groupby("species"):
        length, mass = group["flipper_length_mm"], group["body_mass_g"] / 1000
        slope, base = np.polyfit(length, mass, deg=1)
        points = scatter.scatter(length, mass, s=14, alpha=0.6, label=species)
        ends = np.array([length.min(), length.max()])
        scatter.plot(ends, slope * ends + base, color=points.get_facecolor()[0], alpha=1)
    scatter.set(xlabel="flipper length (mm)", ylabel="body mass (kg)", title="Longer flippers, heavier birds")
    scatter.legend(frameon=False)

    summary = penguins.groupby("species").agg(
        birds=("species", "size"),
        flipper=("flipper_length_mm", "mean"),
        mass=("body_mass_g", "mean"),
    )
    cells = [
        [species, f"{row.birds}", f"{row.flipper:.0f} mm", f"{row.mass / 1000:.2f} kg"]
        for species, row in zip(summary.index, summary.itertuples(index=False), strict=True)
    ]
    table.axis("off")
    drawn = table.table(cells, colLabels=["species", "birds", "flipper", "mass"], loc="center")
    drawn.scale(1, 1.6)
    table.set_title("Means per species")

    target = HERE / "report.png"
    figure.savefig(target, dpi=110)
    print(f"{len(penguins)} penguins, {len(summary)} species -> {target.name}")


if __name__ == "__main__":
    main()
