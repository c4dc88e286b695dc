"""Train the two models of this sample and write them to outputs/models/ beside this file."""

from pathlib import Path

import joblib
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeRegressor

MODELS = {
    "linear": LinearRegression(),
    "tree": DecisionTreeRegressor(max_depth=3, random_state=0),
}
FEATURES = ["bmi", "bp"]  # body mass index in kg/m2, mean blood pressure in mmHg
FOLDER = Path(__file__).parent / "outputs" / "models"


def main() -> None:
    diabetes = load_diabetes(scaled=False)
    columns = [diabetes.feature_names.index(name) for name in FEATURES]
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, model in MODELS.items():
        joblib.dump(model.fit(diabetes.data[:, columns], diabetes.target), FOLDER / f"{name}.pkl")
        print(f"wrote {FOLDER / name}.pkl")


if __name__ == "__main__":
    main()
