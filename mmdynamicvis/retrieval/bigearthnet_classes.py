"""Classes of BigEarthNet: 43 of CORINE Land Cover, and the 19 of arXiv 2001.06372."""

from __future__ import annotations

_MERGED: dict[str, tuple[str, ...]] = {
    'Urban fabric': ('Continuous urban fabric', 'Discontinuous urban fabric'),
    'Industrial or commercial units': ('Industrial or commercial units',),
    'Arable land': ('Non-irrigated arable land', 'Permanently irrigated land', 'Rice fields'),
    'Permanent crops': (
        'Vineyards',
        'Fruit trees and berry plantations',
        'Olive groves',
        'Annual crops associated with permanent crops',
    ),
    'Pastures': ('Pastures',),
    'Complex cultivation patterns': ('Complex cultivation patterns',),
    'Land principally occupied by agriculture, with significant areas of natural vegetation': (
        'Land principally occupied by agriculture, with significant areas of natural vegetation',
    ),
    'Agro-forestry areas': ('Agro-forestry areas',),
    'Broad-leaved forest': ('Broad-leaved forest',),
    'Coniferous forest': ('Coniferous forest',),
    'Mixed forest': ('Mixed forest',),
    'Natural grassland and sparsely vegetated areas': (
        'Natural grassland',
        'Sparsely vegetated areas',
    ),
    'Moors, heathland and sclerophyllous vegetation': (
        'Moors and heathland',
        'Sclerophyllous vegetation',
    ),
    'Transitional woodland, shrub': ('Transitional woodland/shrub',),
    'Beaches, dunes, sands': ('Beaches, dunes, sands',),
    'Inland wetlands': ('Inland marshes', 'Peatbogs'),
    'Coastal wetlands': ('Salt marshes', 'Salines'),
    'Inland waters': ('Water courses', 'Water bodies'),
    'Marine waters': ('Coastal lagoons', 'Estuaries', 'Sea and ocean'),
}
"""Class of the 19 -> the classes of the 43 that it merges."""

TO_19 = {name: merged for merged, names in _MERGED.items() for name in names}
"""Class of the 43 -> class of the 19; eleven of the 43 have none."""

CLASSES_19 = tuple(_MERGED)

CLASSES_43 = (
    'Continuous urban fabric',
    'Discontinuous urban fabric',
    'Industrial or commercial units',
    'Road and rail networks and associated land',
    'Port areas',
    'Airports',
    'Mineral extraction sites',
    'Dump sites',
    'Construction sites',
    'Green urban areas',
    'Sport and leisure facilities',
    'Non-irrigated arable land',
    'Permanently irrigated land',
    'Rice fields',
    'Vineyards',
    'Fruit trees and berry plantations',
    'Olive groves',
    'Pastures',
    'Annual crops associated with permanent crops',
    'Complex cultivation patterns',
    'Land principally occupied by agriculture, with significant areas of natural vegetation',
    'Agro-forestry areas',
    'Broad-leaved forest',
    'Coniferous forest',
    'Mixed forest',
    'Natural grassland',
    'Moors and heathland',
    'Sclerophyllous vegetation',
    'Transitional woodland/shrub',
    'Beaches, dunes, sands',
    'Bare rock',
    'Sparsely vegetated areas',
    'Burnt areas',
    'Inland marshes',
    'Peatbogs',
    'Salt marshes',
    'Salines',
    'Intertidal flats',
    'Water courses',
    'Water bodies',
    'Coastal lagoons',
    'Estuaries',
    'Sea and ocean',
)
