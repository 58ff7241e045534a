"""Random over- and undersampling, SMOTE and ADASYN as balancebench balancers."""
